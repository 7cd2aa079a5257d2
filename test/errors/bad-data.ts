/** Kinds of training data that must be refused. */

import { mkdirSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { ConfigError, DataError } from "../../src/base/errors.ts";
import { pairRows } from "../support/tiny-model.ts";
import { type BadInput, put } from "./bad-input.ts";

const good = pairRows(4);
const lines = (rows: readonly unknown[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join("");

/** A case in which one row of the training file is bad. */
function row(kind: string, bad: unknown, says: RegExp[], values: Record<string, unknown> = {}): BadInput {
  return {
    kind,
    spoil: (place) => ({
      train_data: put(place, "bad.jsonl", lines([...good.slice(0, 2), bad, ...good.slice(2)])),
      ...values,
    }),
    error: DataError,
    says: [/bad\.jsonl:3/, ...says],
  };
}

/** A case in which the training file as a whole is bad. */
function file(kind: string, name: string, content: string | Uint8Array, says: RegExp[]): BadInput {
  return {
    kind,
    spoil: (place) => ({ train_data: put(place, name, content) }),
    error: DataError,
    says: [new RegExp(name), ...says],
  };
}

const ids = (values: Record<string, unknown>) => ({
  prompt_ids: [1, 80],
  chosen_ids: [90, 2],
  rejected_ids: [91, 2],
  ...values,
});
const tokenised = (bad: unknown): string => lines([ids({}), bad]);

/** Training data. */
export const badData: BadInput[] = [
  {
    kind: "finished sums of a reference with ld_alpha",
    spoil: (place) => ({
      train_data: put(
        place,
        "sums.jsonl",
        lines(good.map((pair) => ({ ...pair, ref_chosen_logps: -3, ref_rejected_logps: -4 }))),
      ),
      objective: "dpo",
      ld_alpha: 0.5,
    }),
    error: ConfigError,
    says: [/ld_alpha: 0\.5/, /sums\.jsonl:1/, /ref_chosen_logps/, /take ld_alpha out/],
  },
  {
    kind: "data file missing",
    spoil: (place) => ({ train_data: place.path("absent.jsonl") }),
    error: DataError,
    says: [/absent\.jsonl/, /Check/],
  },
  {
    kind: "data directory without rows",
    spoil: (place) => {
      mkdirSync(place.path("rows"));
      return { train_data: place.path("rows") };
    },
    error: DataError,
    says: [/rows/, /jsonl/i],
  },
  {
    kind: "glob that matches nothing",
    spoil: (place) => ({ train_data: place.path("*.nothing") }),
    error: DataError,
    says: [/\*\.nothing/],
  },
  {
    kind: "data file of an unknown kind",
    spoil: (place) => ({ train_data: put(place, "rows.xlsx", "x") }),
    error: DataError,
    says: [/rows\.xlsx/, /jsonl/i],
  },
  file("empty data file", "empty.jsonl", "", [/no rows|empty/]),
  file("line that is no JSON", "broken.jsonl", `${lines(good.slice(0, 1))}{"prompt": "a", \n`, [
    /broken\.jsonl:2/,
    /JSON/,
  ]),
  file("line that is no object", "list.jsonl", `${lines(good.slice(0, 1))}[1, 2]\n`, [
    /list\.jsonl:2/,
    /object/,
  ]),
  file("columns of no known form", "columns.jsonl", lines([{ question: "a", good: "b", bad: "c" }]), [
    /columns\.jsonl:1/,
    /question/,
    /columns/,
  ]),
  file(
    "text that is not UTF-8",
    "latin.jsonl",
    Buffer.from('{"prompt":"\xe9","chosen":"a","rejected":"b"}\n', "latin1"),
    [/UTF-8/],
  ),
  file("truncated gzip", "cut.jsonl.gz", gzipSync(lines(pairRows(200))).subarray(0, 900), [
    /gzip|cut|damaged|unexpected/i,
  ]),
  file("gzip that is none", "none.jsonl.gz", lines(good), [/gzip|gz/i]),
  file("Parquet that is none", "none.parquet", "PAR1 and nothing else", [/Parquet/i]),
  file("CSV with a short line", "short.csv", "prompt,chosen,rejected\na,b,c\nd,e\n", [/short\.csv:3/]),
  row("row without its rejected answer", { prompt: "a", chosen: "b" }, [/rejected/]),
  row("answer of the wrong type", { prompt: "a", chosen: 7, rejected: "c" }, [/chosen/, /7|number/]),
  row("identical pair", { prompt: "a", chosen: "same", rejected: "same" }, [
    /same tokens/,
    /nothing to prefer/,
  ]),
  row("empty answer", { prompt: "a", chosen: "b", rejected: "" }, [/rejected|answer/, /without text/]),
  row(
    "tool call that the chat template does not write",
    {
      prompt: [{ role: "user", content: "a" }],
      chosen: [
        { role: "assistant", content: "", tool_calls: [{ function: { name: "f", arguments: { x: 1 } } }] },
        { role: "tool", content: "b" },
        { role: "assistant", content: "c" },
      ],
      rejected: [{ role: "assistant", content: "d" }],
    },
    [/"tool_calls" of message 2/, /template: chatml/, /chat_template/],
  ),
  row(
    "answer that is its end alone",
    {
      prompt: [{ role: "user", content: "a" }],
      chosen: [{ role: "assistant", content: "b" }],
      rejected: [{ role: "assistant", content: "<think>\n</think>" }],
    },
    [/answer 2 of 2/, /how to stop/],
  ),
  row(
    "begun turn that calls a tool",
    {
      prompt: [
        { role: "user", content: "a" },
        { role: "assistant", content: "", tool_calls: [{ function: { name: "f" } }] },
      ],
      chosen: [{ role: "assistant", content: "b" }],
      rejected: [{ role: "assistant", content: "c" }],
    },
    [/turn at the prompt's end/, /Put the tool's message behind it/],
  ),
  row(
    "message of an unknown role",
    {
      chosen: [
        { role: "user", content: "a" },
        { role: "oracle", content: "b" },
      ],
      rejected: [
        { role: "user", content: "a" },
        { role: "assistant", content: "c" },
      ],
    },
    [/oracle/],
  ),
  row(
    "row longer than max_length",
    { prompt: "a".repeat(300), chosen: "b", rejected: "c" },
    [/longer than max_length/, /overflow: truncate/],
    { max_length: 128 },
  ),
  file(
    "reference log-probability beyond all numbers",
    "infinite.jsonl",
    '{"prompt":"a","chosen":"b","rejected":"c","ref_chosen_logps":-1e999,"ref_rejected_logps":-2}\n',
    [/infinite\.jsonl:1/, /largest float/],
  ),
  {
    kind: "answer of which every token is masked",
    spoil: (place) => ({
      objective: "sft",
      train_data: put(
        place,
        "masked.jsonl",
        lines([
          { prompt_ids: [1], completion_ids: [80, 81], completion_mask: [1, 1] },
          { prompt_ids: [1], completion_ids: [80, 2], completion_mask: [0, 0] },
        ]),
      ),
      eval_data: null,
    }),
    error: DataError,
    says: [/masked\.jsonl:2/, /no token in the loss/],
  },
  file("token ids outside of the vocabulary", "ids.jsonl", tokenised(ids({ chosen_ids: [9999, 2] })), [
    /ids\.jsonl:2/,
    /outside the vocabulary/,
  ]),
  file("token ids that are no whole numbers", "halves.jsonl", tokenised(ids({ chosen_ids: [1.5, 2] })), [
    /halves\.jsonl:2/,
    /chosen_ids/,
  ]),
  {
    kind: "prompts both trained on and held out",
    spoil: (place) => ({
      eval_data: put(place, "held.jsonl", lines(good.slice(0, 1))),
      train_data: put(place, "train.jsonl", lines(good)),
    }),
    error: DataError,
    says: [/held\.jsonl:1/, /also trained on/, /eval_fraction/],
  },
  {
    kind: "column mapping to a column that is not there",
    spoil: () => ({ columns: { prompt: "question" } }),
    error: DataError,
    says: [/question/],
  },
];
