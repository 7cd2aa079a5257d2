/** Reference sums that rows bring: what is said of those that nothing uses. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { loadMethod } from "../config/load-config.ts";
import type { Example } from "../data/example.ts";
import { objectiveOf } from "../methods/losses.ts";
import { unusedSumNotes } from "./given-sums.ts";

const row = (referenceLogps?: number[]): Example => ({
  origin: { file: "rows.jsonl", line: 1 },
  promptIds: [1],
  completions: [{ ids: [2] }, { ids: [3] }],
  ...(referenceLogps === undefined ? {} : { referenceLogps }),
});
const [given, bare] = [row([-1, -2]), row()];
const objective = (name: string, values: Record<string, unknown> = {}) =>
  objectiveOf(loadMethod({ objective: name, ...values }));
const about = (count: string, why: string) => [
  `ref_chosen_logps, ref_rejected_logps of ${count} rows are not used: ${why}.`,
];
const others = "the other rows have none, and the reference is computed for all of them";

test("sums of all rows are used by an objective with a reference, each split by itself", () => {
  const dpo = objective("dpo");
  assert.deepEqual(unusedSumNotes(dpo, { examples: [given, given], evalExamples: null }), []);
  assert.deepEqual(unusedSumNotes(dpo, { examples: [given, given], evalExamples: [bare] }), []);
  assert.deepEqual(unusedSumNotes(dpo, { examples: [bare], evalExamples: null }), []);
});

test("sums of some rows are not", () => {
  const dpo = objective("dpo");
  const examples = [given, bare, given];
  assert.deepEqual(unusedSumNotes(dpo, { examples, evalExamples: [given] }), about("2 of 3", others));
  assert.deepEqual(
    unusedSumNotes(dpo, { examples: [given], evalExamples: examples }),
    about("2 of 3", others),
  );
});

test("no sums are used without a reference, where it is of single tokens, and where another is named", () => {
  const rows = { examples: [given, bare], evalExamples: null };
  assert.deepEqual(unusedSumNotes(objective("simpo"), rows), about("1 of 2", "simpo has no reference"));
  const [note = ""] = unusedSumNotes(objective("slime", { lambda_start: 0.5 }), rows);
  assert.match(note, /of 1 of 2 rows are not used: slime is set to need log-probs of single tokens/);
  assert.deepEqual(unusedSumNotes(objective("dpo"), rows, "DIR"), about("1 of 2", "the reference is DIR"));
});
