/** Configuration keys of the training data (a table). Relative paths are taken from the working directory. */
import { methodsWhere } from "../methods/index.ts";
import { columnMapping, datasets } from "./datasets.ts";
import type { FieldTable } from "./field.ts";
import type { DataKeys } from "./run-config.ts";
import { choice, flag, integer, number, optional, text } from "./value-types.ts";

/** Keys that say which rows are trained on. */
export const DATA_FIELDS: FieldTable<DataKeys> = {
  train_data: {
    type: datasets(),
    doc: "Rows to train on: a file (JSONL, CSV, Parquet; plain, .gz, .zst), a directory, a glob, a hub id, or a list of them, weighted.",
    source: "must be given",
  },
  eval_data: {
    type: optional(datasets()),
    default: null,
    doc: "Held-out rows, in the same forms as train_data.",
    source: "preftune",
  },
  eval_fraction: {
    type: number({ min: 0, below: 1 }),
    default: 0,
    doc: "Fraction of the training prompts held out for evaluation; all rows of a prompt stay together.",
    source: "preftune",
  },
  columns: {
    type: optional(columnMapping()),
    default: null,
    doc: "Which columns of the files hold what, e.g. {prompt: question, chosen: best}. null: by their usual names.",
    source: "preftune",
  },
  max_train_rows: {
    type: optional(integer({ min: 1 })),
    default: null,
    doc: "Read at most this many training rows: the first ones, or a draw by the seed where sources have weights. Rows left out count too.",
    source: "preftune",
  },
  max_eval_rows: {
    type: optional(integer({ min: 1 })),
    default: null,
    doc: "Read at most this many rows of eval_data.",
    source: "preftune",
  },
  max_length: {
    type: integer({ min: 8 }),
    default: 1024,
    doc: "Longest prompt + answer, in tokens.",
    source: "TRL",
  },
  overflow: {
    type: choice(["error", "drop", "truncate"]),
    default: "error",
    doc: "What happens to a row longer than max_length: stop, leave the row out, or cut the prompt's beginning and then the answers' ends. All are counted.",
    source: "preftune; other trainers cut or filter without a count",
  },
  invalid_rows: {
    type: choice(["error", "drop"]),
    default: "error",
    doc: "What happens to a row with errors (identical answers, an empty answer, a prompt of both splits): stop, or leave the row out. All are counted.",
    source: "preftune",
  },
  plain_strings: {
    type: optional(choice(["text", "chat"])),
    default: null,
    doc: "What a prompt and answers of plain strings are: text, as TRL takes them, or chat, a user's and an assistant's message for the chat template. null: text, with a warning where there is a template.",
    source: "preftune",
  },
  chat_template: {
    type: optional(text("a Jinja file, the name of one of the tokenizer's templates, or template text")),
    default: null,
    doc: "A chat template to use in place of the tokenizer's own.",
    source: "TRL chat_template_path",
  },
  enable_thinking: {
    type: optional(flag()),
    default: null,
    doc: "Passed to templates with a thinking mode (Qwen3). null: the template's own default.",
    source: "Qwen3",
  },
  mask_tool_output: {
    type: flag(),
    default: true,
    doc: "In answers of several messages only the assistant's count in the loss. false: everything counts, what tools wrote too, as in TRL's DPO.",
    source: "preftune; TRL's DPO counts it",
  },
  train_on: {
    type: choice(["all", "last"]),
    default: "all",
    doc: "sft: train on all assistant turns of a conversation, or on the last alone.",
    source: "preftune",
    objectives: methodsWhere(({ over }) => over === "completions"),
  },
};
