/** The difference between sampler and training: its mean, its greatest and where those are, NaN among them; what an error names. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { RolloutGroup } from "./rollout.ts";
import { differenceMetrics, samplingDifference } from "./sampling-difference.ts";

const rows = (...lists: number[][]): Float32Array[] => lists.map((list) => Float32Array.from(list));

test("the greatest differences with their places, over the completions that have tokens in training", () => {
  const sampler = rows([-1, -2], [-3], [-1]);
  assert.deepEqual(samplingDifference(sampler, rows([-1, -2.5], [], [-2]), 0.75), {
    ...{ mean: 0.5, max: 1, tokens: 3, beyond: 1 },
    worst: [
      { completion: 2, token: 0, difference: 1 },
      { completion: 0, token: 1, difference: 0.5 },
      { completion: 0, token: 0, difference: 0 },
    ],
  });
  assert.deepEqual(samplingDifference(sampler, rows([], [], [])), {
    ...{ mean: 0, max: 0, tokens: 0, beyond: 0, worst: [] },
  });
});

test("a NaN is beyond every number, whatever comes before and after it, and the first is where it is", () => {
  const { mean, max, worst } = samplingDifference(
    rows([-1, -1], [-1, -1, -1], [-1, -1]),
    rows([-1, -9], [-1, Number.NaN, -50], [Number.NaN, -2]),
  );
  assert.deepEqual([mean, max], [Number.NaN, Number.NaN]);
  assert.deepEqual(
    worst.map(({ completion, token }) => [completion, token]),
    [
      [1, 1],
      [2, 0],
      [1, 2],
    ],
  );
});

test("of equal differences the first ones are named", () => {
  const { worst } = samplingDifference(rows([0, 0, 0, 0, 0]), rows([-1, -1, -1, -1, -2]));
  assert.deepEqual(
    worst.map(({ token }) => token),
    [4, 0, 1],
  );
});

/** Two prompts with two completions of two tokens each, all of log-prob -1 in sampling. */
const groups = [3, 8].map((line, index): RolloutGroup => {
  const completion = {
    ids: [10 * line, 10 * line + 1],
    ended: true,
    logps: Float32Array.of(-1, -1),
    kept: null,
  };
  const example = { origin: { file: "p.jsonl", line }, promptIds: [1], completions: [] };
  return { index, example, completions: [completion, completion] };
});

test("beyond the bound the tokens that differ most are named by row, completion, place and id", () => {
  const logps = rows([-1, -1.5], [-1, -1], [-1, -1], [-3, -1.25]);
  assert.throws(
    () => differenceMetrics(groups, logps, 0.25),
    (error: Error) => {
      assert.match(
        error.message,
        /^the log-probs of 2 of 8 tokens .* max_sampling_logp_difference 0\.25; most of all /,
      );
      assert.match(
        error.message,
        /all p\.jsonl:8, completion 2, token 1 \(id 80\): -1 in sampling, -3 in training; p\.jsonl:3, completion 1, token 2 \(id 31\): -1 in sampling, -1\.5 in training\. /,
      );
      return error.name === "TrainingError";
    },
  );
  // of the first completions alone
  const metrics = differenceMetrics(groups, logps.slice(0, 3), 0.5);
  assert.deepEqual(Object.values(metrics), [0.5 / 6, 0.5]);
  assert.equal(differenceMetrics(groups, logps, null)["sampling/sampling_logp_difference/max"], 2);
});
