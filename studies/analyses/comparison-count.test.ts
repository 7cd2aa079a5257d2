/** Every interval of the study is counted, and few training sets are warned of. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { comparisonSentences } from "./comparison-count.ts";
import { overSets } from "./excess.ts";

const some = (count: number, sets = 4) =>
  Array.from({ length: count }, () => overSets(Array.from({ length: sets }, (_, i) => i)));

test("margins, drift, tail and what other tables have are counted; what has no interval is not", () => {
  const sentences = comparisonSentences({
    sets: 4,
    margins: [...some(40), ...some(3, 1)],
    damage: some(80),
    besides: [...some(20), ...some(1, 0)],
  });
  assert.equal(sentences.length, 1);
  assert.match(
    String(sentences[0]),
    /^40 methods .* about 2\.0 of their intervals .* 140 intervals, .* about 7\.0 would/,
  );
});

test("below four training sets it is said first", () => {
  const sentences = comparisonSentences({ sets: 3, margins: some(1, 3), damage: [], besides: [] });
  assert.match(
    String(sentences[0]),
    /^There are 3 training sets, and intervals over fewer than 4 say little.*--seeds 4/,
  );
});
