/** Configuration keys of the training data (a table). Relative paths are taken from the working directory. */
import type { z } from "zod";
import { type MethodName, methodsWhere } from "../methods/index.ts";
import {
  type ColumnMapping,
  columnMapping,
  type DatasetSpec,
  datasets,
  expectedDatasets,
} from "./datasets.ts";

/** Keys that say which rows are trained on. */
export const DATA_KEYS = {
  train_data: {
    schema: datasets as z.ZodType<DatasetSpec[]>,
    expected: expectedDatasets as string,
    doc: "Rows to train on: a file (JSONL, CSV, Parquet; plain, .gz, .zst), a directory, a glob, a hub id, or a list of them, weighted.",
    source: "must be given",
  },
  eval_data: {
    schema: datasets.nullable().default(null) as z.ZodType<DatasetSpec[] | null>,
    expected: expectedDatasets as string,
    doc: "Held-out rows, in the same forms as train_data.",
  },
  eval_fraction: {
    schema: { type: "number", minimum: 0, exclusiveMaximum: 1, default: 0 },
    doc: "Fraction of the training prompts held out for evaluation; all rows of a prompt stay together.",
  },
  columns: {
    schema: columnMapping.nullable().default(null) as z.ZodType<ColumnMapping | null>,
    expected: "a mapping from prompt, chosen, rejected, completion … to the file's column names",
    doc: "Which columns of the files hold what, e.g. {prompt: question, chosen: best}. null: by their usual names.",
  },
  max_train_rows: {
    schema: { type: ["integer", "null"], minimum: 1, default: null },
    doc: "Read at most this many training rows: the first ones, or a draw by the seed where sources have weights. Rows left out count too.",
  },
  max_eval_rows: {
    schema: { type: ["integer", "null"], minimum: 1, default: null },
    doc: "Read at most this many rows of eval_data.",
  },
  max_length: {
    schema: { type: "integer", minimum: 8, default: 1024 },
    doc: "Longest prompt + answer, in tokens.",
    source: "TRL",
  },
  overflow: {
    schema: { enum: ["error", "drop", "truncate"], default: "error" },
    doc: "What happens to a row longer than max_length: stop, leave the row out, or cut the prompt's beginning and then the answers' ends. All are counted.",
    source: "preftune; other trainers cut or filter without a count",
  },
  invalid_rows: {
    schema: { enum: ["error", "drop"], default: "error" },
    doc: "What happens to a row with errors (identical answers, an empty answer, a prompt of both splits): stop, or leave the row out. All are counted.",
  },
  plain_strings: {
    schema: { enum: ["text", "chat", null], default: null },
    doc: "What a prompt and answers of plain strings are: text, as TRL takes them (also an answer that is JSON of messages), or chat, a user's and an assistant's message for the chat template. null: text, with a warning where there is a template.",
  },
  data_order: {
    schema: { enum: ["shuffled", "given", "length"], default: "shuffled" },
    doc: "The order of the rows: shuffled (another order each epoch, by the seed), given (as they are read), or length (rows of like length in a step, shuffled otherwise; the longest row is in the first step).",
    source: "transformers; length is its group_by_length",
  },
  chat_template: {
    schema: { type: ["string", "null"], pattern: "\\S", default: null },
    expected:
      "a Jinja file, a directory with a chat template, the name of one of the tokenizer's templates, or template text",
    doc: "A chat template to use in place of the tokenizer's own.",
    source: "TRL chat_template_path",
  },
  enable_thinking: {
    schema: { type: ["boolean", "null"], default: null },
    doc: "Passed to templates with a thinking mode (Qwen3). null: the template's own default.",
    source: "Qwen3",
  },
  mask_tool_output: {
    schema: { type: "boolean", default: true },
    doc: "In answers of several messages only the assistant's count in the loss. false: everything counts, what tools wrote too, as in TRL's DPO.",
    source: "preftune; TRL's DPO counts it",
  },
  train_on: {
    schema: { enum: ["all", "last"], default: "all" },
    doc: "sft: train on all assistant turns of a conversation, or on the last alone.",
    objectives: methodsWhere(({ over }) => over === "completions") as MethodName[],
  },
  unpair: {
    schema: { type: "boolean", default: false },
    doc: "Split rows of pairs into two of one answer each, the chosen one labelled good, the rejected one bad.",
    source: "preftune; TRL splits them unasked",
    objectives: methodsWhere(({ over }) => over === "labelled") as MethodName[],
  },
  rating_threshold: {
    schema: { type: ["number", "null"], default: null },
    doc: "Rows with a rating and no label are good from this number on, and bad below; sft leaves the bad ones out. null: such rows are refused, or all learned by sft.",
    objectives: methodsWhere(({ over }) => over === "labelled" || over === "completions") as MethodName[],
  },
} as const;
