/** The difference between sampler and training pass: its mean, its greatest and where that is, NaN among them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { samplingDifference } from "./sampling-difference.ts";

const rows = (...lists: number[][]): Float32Array[] => lists.map((list) => Float32Array.from(list));

test("the greatest difference with its place, over the completions that have tokens in training", () => {
  const sampler = rows([-1, -2], [-3], [-1]);
  assert.deepEqual(samplingDifference(sampler, rows([-1, -2.5], [], [-2])), {
    ...{ mean: 0.5, max: 1, completion: 2, token: 0 },
  });
  assert.deepEqual(samplingDifference(sampler, rows([], [], [])), {
    ...{ mean: 0, max: 0, completion: 0, token: 0 },
  });
});

test("a NaN is beyond every number, whatever comes before and after it, and the first is where it is", () => {
  const found = samplingDifference(
    rows([-1, -1], [-1, -1, -1], [-1, -1]),
    rows([-1, -9], [-1, Number.NaN, -50], [Number.NaN, -2]),
  );
  assert.deepEqual(found, { mean: Number.NaN, max: Number.NaN, completion: 1, token: 1 });
});
