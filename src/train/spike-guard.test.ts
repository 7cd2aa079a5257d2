/** The spike guard's limits: by hand, against spikes and clean steps, and when the level changes for good. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertClose } from "../../test/support/close.ts";
import { Random } from "../base/random.ts";
import type { SkipReason } from "../runs/train-events.ts";
import { emptyHistory, limitsOf, remember, spikeStart, spikeWindow } from "./spike-guard.ts";

function result(loss: number, gradNorm: number, skipped: SkipReason | null = null) {
  return { loss, gradNorm, skipped };
}

/** Goes through `steps` as a run with the guard at 6 does, and says which were skipped. */
function skippedOf(steps: readonly (readonly [loss: number, gradNorm: number])[]): number[] {
  const history = emptyHistory();
  const skipped: number[] = [];
  for (const [i, [loss, gradNorm]] of steps.entries()) {
    const limits = limitsOf(history, 6);
    const isSpike = limits !== null && (loss > limits.loss || gradNorm > limits.gradNorm);
    if (isSpike) skipped.push(i);
    remember(history, result(loss, gradNorm, isSpike ? "spike" : null));
  }
  return skipped;
}

const random = new Random(5);
/** A normal deviate, by Box and Muller's transform. */
function normal(): number {
  return Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next());
}

test("limits are mean and sample deviation of the window, from the 64th step on", () => {
  const history = emptyHistory();
  for (let i = 0; i < spikeStart; i++) {
    assert.equal(limitsOf(history, 6), null);
    remember(history, result(i, 5));
  }
  const limits = limitsOf(history, 2);
  // 0 … 63: mean 31.5, Σ(x - mean)² = n (n² - 1) / 12
  assertClose(limits?.loss ?? 0, 31.5 + 2 * Math.sqrt((64 * (64 ** 2 - 1)) / 12 / 63), { rtol: 1e-12 });
  assert.equal(limits?.gradNorm, Number.POSITIVE_INFINITY, "no deviation, no spike");
  for (let i = 0; i < 500; i++) remember(history, result(1000 + i, i));
  assert.deepEqual([history.losses.length, history.losses[0]], [spikeWindow, 1500 - spikeWindow]);
});

test("a step that was not finite, and a spike, leave the window alone; five spikes in a row are a new level", () => {
  const history = { losses: [1, 2], gradNorms: [3, 4], spikes: 0 };
  remember(history, result(Number.NaN, 1, "not finite"));
  for (let i = 1; i < 5; i++) {
    remember(history, result(90, 4, "spike"));
    assert.deepEqual(history, { losses: [1, 2], gradNorms: [3, 4], spikes: i });
  }
  remember(history, result(90, 4, "spike"));
  assert.deepEqual(history, emptyHistory());
});

for (const what of ["loss", "gradient norm"] as const) {
  test(`every 20-sigma spike of the ${what} is skipped, and nothing else`, () => {
    const spikes: number[] = [];
    const steps = Array.from({ length: 2000 }, (_, i): [number, number] => {
      const isSpike = i > 70 && i % 20 === 7;
      if (isSpike) spikes.push(i);
      const jump = isSpike ? 20 : 0;
      return what === "loss"
        ? [0.7 + 0.05 * (normal() + jump), 2 + 0.3 * normal()]
        : [0.7 + 0.05 * normal(), 2 + 0.3 * (normal() + jump)];
    });
    assert.deepEqual(skippedOf(steps), spikes);
  });
}

test("a level that changes for good is taken up after five steps; a fall is never skipped", () => {
  const level = (i: number) => (i < 200 ? 1 : i < 400 ? 3 : 0.2);
  const steps = Array.from({ length: 600 }, (_, i): [number, number] => [
    level(i) + 0.1 * normal(),
    1 + 0.1 * normal(),
  ]);
  const skipped = skippedOf(steps);
  assert.deepEqual(skipped, [200, 201, 202, 203, 204]);
});
