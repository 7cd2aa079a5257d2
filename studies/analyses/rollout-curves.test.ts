import assert from "node:assert/strict";
import { test } from "node:test";
import type { MeasuredRun } from "preftune/sweep";
import { chosenRate, searchedRates } from "./rates.ts";
import { crossing, curveOf, valueAt } from "./rollout-curves.ts";

/** A run with an evaluation every ten steps, each step of two seconds. */
function runOf(
  rewards: readonly (readonly number[])[],
): Pick<MeasuredRun, "evaluations" | "exported" | "metrics"> {
  const known = { rejected_logps: null, pair_changes: [], samples: [] };
  const evaluations = rewards.map((reward, i) => ({
    ...known,
    global_step: 10 * i,
    prompts: { reward, kl_init: reward.map((_, prompt) => i + prompt) },
  }));
  return {
    evaluations,
    exported: evaluations.at(-1) ?? null,
    metrics: Array.from({ length: 20 }, (_, i) => ({ global_step: i + 1, epoch: 0, step_time: 2 })),
  };
}

test("a run is read off where its mean first reaches a level, on a straight line between two evaluations", () => {
  const curve = curveOf(
    runOf([
      [0, 0],
      [1, 0],
      [1, 1],
    ]),
  );
  assert.deepEqual(
    curve.map(({ step, seconds }) => [step, seconds]),
    [
      [0, 0],
      [10, 20],
      [20, 40],
    ],
  );
  const place = crossing(curve, "reward", 0.75);
  assert.deepEqual(place, { from: 1, share: 0.5 });
  assert.deepEqual([...valueAt(curve, place, "kl_init")], [1.5, 2.5]);
  assert.deepEqual([...valueAt(curve, crossing(curve, "seconds", 20), "reward")], [1, 0]);
  assert.deepEqual([...valueAt(curve, crossing(curve, "reward", 0), "kl_init")], [0, 1]);
  const never = crossing(curve, "reward", 2);
  assert.deepEqual([never, [...valueAt(curve, never, "kl_init")]], [null, [Number.NaN, Number.NaN]]);
});

test("time is that of all steps, however many of them a logged row is the mean of", () => {
  const rewards = [[0], [0], [0]];
  const metrics = [4, 8, 12, 20].map((global_step) => ({
    global_step,
    epoch: 0,
    step_time: global_step / 4,
  }));
  const curve = curveOf({ ...runOf(rewards), metrics });
  // 4 · 1 + 4 · 2 + 2 · 3, and then 2 · 3 + 8 · 5 more
  assert.deepEqual(
    curve.map(({ seconds }) => seconds),
    [0, 18, 64],
  );
});

test("an unscorable prompt is left out of the mean that decides", () => {
  const curve = curveOf(
    runOf([
      [0, Number.NaN],
      [1, Number.NaN],
    ]),
  );
  assert.deepEqual(crossing(curve, "reward", 1), { from: 0, share: 1 });
});

test("the rate is the lowest that earns within a standard error of the best; a method whose runs failed has none", () => {
  const rewards = { "0.0002": 60, "0.0005": 66, "0.001": 70 };
  const measured = new Map(
    Object.entries(rewards).map(([rate, right]) => {
      const name = `search slime, KL at ${rate}`;
      const ends = Array.from({ length: 100 }, (_, prompt) => (prompt < right ? 1 : 0));
      return [name, { name, failed: [], runs: [runOf([ends.map(() => 0), ends]) as MeasuredRun] }];
    }),
  );
  assert.deepEqual(
    searchedRates("slime, KL", [2e-4, 5e-4, 1e-3]).map(({ condition }) => condition),
    [...measured.keys()],
  );
  // one standard error of 70 in 100 is 0.046
  assert.equal(chosenRate(measured, "slime, KL"), 5e-4);
  assert.equal(chosenRate(measured, "slime"), null);
});
