import assert from "node:assert/strict";
import { test } from "node:test";
import { repeatedShare } from "../../text/ngrams.ts";
import { distinctN, endedShare, meanLength } from "./text-statistics.ts";

test("distinct-n counts n-grams over all answers together", () => {
  // bigrams: ab ba ab | ab bc -> 5, of which ab, ba, bc are distinct
  const answers = [
    ["a", "b", "a", "b"],
    ["a", "b", "c"],
  ];
  assert.equal(distinctN(answers, 2), 3 / 5);
  // unigrams: 7, of which 3 are distinct
  assert.equal(distinctN(answers, 1), 3 / 7);
  assert.equal(distinctN([[1, 2, 3]], 2), 1);
});

test("distinct-n does not mix up tokens that read alike when joined", () => {
  assert.equal(
    distinctN(
      [
        [1, 23],
        [12, 3],
      ],
      2,
    ),
    1,
  );
  assert.equal(
    distinctN(
      [
        ["a,b", "c"],
        ["a", "b,c"],
      ],
      2,
    ),
    1,
  );
});

test("repeated share counts what came before in the same answer only", () => {
  // bigrams of the first: ab ba ab ba -> 2 of 4 came before; of the second: ab, new there
  const answers = [
    ["a", "b", "a", "b", "a"],
    ["a", "b"],
  ];
  assert.equal(repeatedShare(answers, 2), 2 / 5);
  assert.equal(repeatedShare([[7, 7, 7, 7, 7]], 1), 4 / 5);
  assert.equal(repeatedShare([[1, 2, 3, 4]], 2), 0);
});

test("n-gram metrics are NaN where there is no n-gram", () => {
  assert.equal(distinctN([[1], []], 2), Number.NaN);
  assert.equal(repeatedShare([], 2), Number.NaN);
});

test("ended share and mean length", () => {
  assert.equal(endedShare([{ stopId: 2 }, { stopId: null }, { stopId: 0 }, { stopId: 2 }]), 3 / 4);
  assert.equal(endedShare([]), Number.NaN);
  assert.equal(meanLength([[1, 2, 3], [], [4]]), 4 / 3);
  assert.equal(meanLength([]), Number.NaN);
});
