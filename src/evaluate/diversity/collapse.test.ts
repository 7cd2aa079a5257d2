import assert from "node:assert/strict";
import { test } from "node:test";
import type { WatchThresholds } from "../../config/watch-keys.ts";
import { breachesOf, type WatchStart } from "./collapse.ts";

const limits: WatchThresholds = {
  repetition: 0.2,
  ended_properly: 0.3,
  distinct_2: 0.5,
  self_bleu: 20,
  malformed: 0.3,
  length: 4,
  chosen_down: 0.9,
  chosen_fall: 1,
  drift: null,
  tail: null,
  kl: null,
  gold_fall: null,
};

/** The metric of each threshold: at the start, at its limit, and beyond it. */
const cases: [keyof WatchThresholds, metric: string, start: number, limit: number, beyond: number[]][] = [
  ["repetition", "samples/repetition", 0.25, 0.25 + 0.2, [0.46]],
  ["ended_properly", "samples/ended_properly", 1, 0.7, [0.69, 0]],
  ["distinct_2", "samples/distinct_2", 0.5, 0.25, [0.24]],
  ["self_bleu", "samples/self_bleu", 30, 50, [50.1]],
  ["malformed", "samples/malformed", 0, 0.3, [0.31]],
  ["length", "samples/length", 10, 40, [41, 2.4, 0]],
  ["chosen_down", "displacement/frac_chosen_down", 0, 0.9, [0.91]],
  ["chosen_fall", "logps/chosen_delta_init", 0, -1, [-1.01, Number.NEGATIVE_INFINITY]],
];

for (const [threshold, metric, first, limit, beyond] of cases) {
  test(`${threshold}: at the limit nothing, beyond it a sentence`, () => {
    const start: WatchStart = { step: 0, watchStep: 20, metrics: { [metric]: first } };
    const names = (now: Record<string, number>, own = limits) =>
      breachesOf(now, start, own).map((breach) => breach.threshold);
    assert.deepEqual(names({ [metric]: first }), []);
    assert.deepEqual(names({ [metric]: limit }), []);
    for (const value of beyond) assert.deepEqual(names({ [metric]: value }), [threshold], String(value));
    assert.deepEqual(names({ [metric]: beyond[0] as number }, { ...limits, [threshold]: null }), []);
    // what is not known is not judged
    assert.deepEqual(names({}), []);
    assert.deepEqual(breachesOf({ [metric]: Number.NaN }, start, limits), []);
  });
}

test("an improvement is no breach", () => {
  const metrics = {
    "samples/repetition": 0.9,
    "samples/ended_properly": 0,
    "samples/distinct_2": 0.1,
    "samples/self_bleu": 90,
  };
  const now = {
    "samples/repetition": 0,
    "samples/ended_properly": 1,
    "samples/distinct_2": 0.9,
    "samples/self_bleu": 5,
  };
  assert.deepEqual(breachesOf(now, { step: 0, watchStep: 0, metrics }, limits), []);
});

test("the sentence has the metric, the limit, since when, and both values", () => {
  const start: WatchStart = {
    step: 0,
    watchStep: 20,
    metrics: { "samples/length": 10, "samples/distinct_2": 0.5 },
  };
  const now = { "samples/length": 50, "samples/distinct_2": 0.125, "logps/chosen_delta_init": -1.5 };
  assert.deepEqual(
    breachesOf(now, start, limits).map(({ text }) => text),
    [
      "samples/distinct_2 fell by more than 0.5 of itself since step 20: from 0.5 to 0.125",
      "samples/length went more than 4-fold since step 20: from 10 to 50",
      "logps/chosen_delta_init fell by more than 1 since step 0: from 0 to -1.5",
    ],
  );
});

test("a loss that is no number is a collapse, whatever the thresholds", () => {
  const none = Object.fromEntries(
    Object.keys(limits).map((name) => [name, null]),
  ) as unknown as WatchThresholds;
  const start: WatchStart = { step: 0, watchStep: 0, metrics: {} };
  assert.deepEqual(breachesOf({ loss: 3 }, start, none), []);
  assert.match(breachesOf({ loss: Number.NaN }, start, none)[0]?.text ?? "", /^loss is NaN/);
});

test("a token whose change is no number exceeds a bound on drift or tail, and nothing where there is none", () => {
  const now = {
    "displacement/token_change_mean_abs": 0.1,
    "displacement/token_change_p01": -0.1,
    "displacement/token_change_not_finite": 2,
  };
  const start: WatchStart = { step: 0, watchStep: 0, metrics: {} };
  const of = (own: Partial<WatchThresholds>) =>
    breachesOf(now, start, { ...limits, ...own }).map(({ threshold }) => threshold);
  assert.deepEqual(of({ drift: 0.5 }), ["drift"]);
  assert.deepEqual(of({ tail: 2 }), ["tail"]);
  assert.deepEqual(of({}), []);
});
