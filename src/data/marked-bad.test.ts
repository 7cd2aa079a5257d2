/** What sft and on-policy runs make of labels and ratings that stand beside an answer. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { normaliseRow, type RowOptions } from "./rows.ts";
import { MarkedBadError } from "./unpaired.ts";

type Options = Partial<RowOptions>;

const text = { prompt: "The sky is", completion: " blue." };
const read = (value: Record<string, unknown>, options: Options = {}) =>
  normaliseRow({ origin: { file: "rows.jsonl", line: 3 }, value }, { task: "labelled", ...options });

test("a rating beside a label is kept, and one that is no number does no harm there", () => {
  assert.equal(read({ ...text, label: true, rating: 4 }).rating, 4);
  assert.equal(read({ ...text, label: true, rating: "good" }).rating, undefined);
});

test("sft takes no token ids of an answer that is marked as bad", () => {
  const tokens = { prompt_ids: [1, 5], completion_ids: [7, 2] };
  const bad: [Record<string, unknown>, Options][] = [
    [{ label: false }, {}],
    [{ thumb: false }, { columns: { label: "thumb" } }],
    [{ rating: 1 }, { rating_threshold: 4 }],
  ];
  for (const [mark, options] of bad) {
    const row = { ...tokens, ...mark };
    assert.throws(() => read(row, { ...options, task: "sft" }), MarkedBadError);
  }
  assert.notEqual(read({ ...tokens, label: true }, { task: "sft" }).tokens, null);
});

test("a label of another kind says nothing in sft, people who differ are refused, and bad answers are not watched", () => {
  assert.notEqual(read({ ...text, label: 0 }, { task: "sft" }).source, null);
  assert.notEqual(read({ ...text, label: 3, rating: 5 }, { task: "sft", rating_threshold: 4 }).source, null);
  assert.throws(
    () => read({ ...text, "label.responses": [true, false] }, { task: "sft" }),
    /expected answers that agree, got 2/,
  );
  const watched = (label: unknown) => {
    const { source } = read({ ...text, label }, { task: "prompt" });
    return source?.kind === "text" ? source.completions : source;
  };
  assert.deepEqual(watched(true), [text.completion]);
  assert.deepEqual(watched(false), []);
  // a column of another meaning, for the rewards
  assert.deepEqual(watched([true, false]), []);
  assert.deepEqual(watched([3, 1]), [text.completion]);
});
