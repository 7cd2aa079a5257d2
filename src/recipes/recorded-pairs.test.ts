/** What is recorded of held-out pairs: whose prompt each is, and how many are no finite numbers. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Example } from "../data/example.ts";
import { changesOf, recordedPairs } from "./recorded-pairs.ts";

const examples = [0, 1, 0, 2].map(
  (prompt, i): Example => ({
    origin: { file: "rows", line: i + 1 },
    promptIds: [1, prompt],
    completions: [{ ids: [2, i] }, { ids: [3, i] }],
  }),
);

test("pairs of one prompt have one number; a pair that is not finite is counted in place of its change", () => {
  const pairs = recordedPairs(examples, null);
  assert.deepEqual(
    pairs.map(({ prompt }) => prompt),
    [0, 1, 0, 2],
  );
  const change = { chosen: 0.12345, rejected: -1, margin: 2 };
  const lost = { ...change, chosen: Number.NEGATIVE_INFINITY };
  const record = changesOf([change, lost, change, change], pairs);
  assert.deepEqual(record.pair_prompts, [0, 0, 2]);
  assert.deepEqual(record.pair_changes, Array(3).fill([0.1235, -1]));
  assert.equal(record.pairs_not_finite, 1);
  assert.deepEqual(changesOf(Array(4).fill(lost), pairs), { pair_changes: [], pairs_not_finite: 4 });
  assert.equal("pairs_not_finite" in changesOf(Array(4).fill(change), pairs), false);
});
