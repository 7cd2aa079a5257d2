/** Damage as columns of sweeps and studies: by pair from the scored tokens, by run from its last evaluation. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { MeasuredRun } from "./measured.ts";
import { TRIAL_METRICS } from "./trial-metrics.ts";

const pair = (line: number, chosen: number[]) => ({ file: "rows", line, chosen, rejected: [-1] });
const run: Pick<MeasuredRun, "before" | "after" | "metrics"> = {
  before: [pair(1, [-1, -2]), pair(2, [-3])],
  after: [pair(1, [-0.5, -4]), pair(2, [-3])],
  metrics: [
    { global_step: 0, epoch: 0, "eval_displacement/other_text_change": 0 },
    { global_step: 4, epoch: 1, "eval_displacement/other_text_change": -0.25 },
    { global_step: 4, epoch: 1, loss: 1 },
  ],
};
const values = (name: "drift" | "worst_token" | "other_text", of = run) =>
  Array.from(TRIAL_METRICS[name].perPair(of as MeasuredRun));

test("drift, the worst token and other text, a value for each pair", () => {
  assert.deepEqual(values("drift"), [1.25, 0]);
  assert.deepEqual(values("worst_token"), [-2, 0]);
  assert.deepEqual(values("other_text"), [-0.25, -0.25]);
  assert.deepEqual(values("other_text", { ...run, metrics: [] }), [Number.NaN, Number.NaN]);
});
