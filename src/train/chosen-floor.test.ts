/** The weight that holds a floor: by hand, against a simulated training, and at its bounds. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertClose } from "../../test/support/close.ts";
import { Random } from "../base/random.ts";
import { type FloorSettings, type FloorState, firstState, nextState, weightOf } from "./chosen-floor.ts";

const floor: FloorSettings = {
  ...{ chosen_floor: 0.1, lambda_w: 0.4, lambda_w_max: 5 },
  ...{ floor_gain: 5, floor_integral: 0.2, floor_average: 0.2 },
};

test("by hand: the weight of the first step, and of the one after", () => {
  const first = firstState(floor);
  assertClose(weightOf(first, floor), 0.4 + 5 * 0.1, { rtol: 1e-12 });
  const second = nextState(first, -0.5, floor);
  // mean 0.2 · −0.5 = −0.1, so 0.2 is missing
  assertClose([second.change, second.integral], [-0.1, 0.4 + 0.2 * 0.2], { rtol: 1e-12 });
  assertClose(weightOf(second, floor), 0.44 + 5 * 0.2, { rtol: 1e-12 });
});

/**
 * 200 steps of a training whose chosen completions change by `speed` · (weight − needed) a step, as far as a step's pairs show it.
 *
 * @returns the change after each step, and the weights
 */
function simulated({ needed, speed, noise = 0 }: { needed: number; speed: number; noise?: number }) {
  const random = new Random(7);
  const changes: number[] = [];
  const weights: number[] = [];
  let state: FloorState = firstState(floor);
  let change = 0;
  for (let step = 0; step < 200; step++) {
    const weight = weightOf(state, floor);
    weights.push(weight);
    // the step's pairs are measured before it
    const seen = change + noise * (random.next() + random.next() + random.next() - 1.5);
    change += speed * (weight - needed);
    state = nextState(state, seen, floor);
    changes.push(change);
  }
  return { changes, weights };
}

test("the floor is reached and kept, whatever weight the rows need, between slow and fast trainings", () => {
  for (const needed of [0.2, 1, 3.8]) {
    for (const speed of [0.005, 0.02, 0.05]) {
      const { changes, weights } = simulated({ needed, speed });
      const end = changes.slice(-50);
      assert.ok(
        end.every((change) => Math.abs(change - floor.chosen_floor) < 0.1),
        `${needed}, ${speed}: ${end.at(-1)}`,
      );
      assert.ok(Math.max(...changes) < floor.chosen_floor + 0.15, `${needed}, ${speed}: no overshoot`);
      assert.ok(weights.every((weight) => weight >= 0 && weight <= 5));
    }
  }
});

test("noise of the step's pairs moves the weight, and the floor holds on the mean", () => {
  const { changes } = simulated({ needed: 1, speed: 0.02, noise: 0.3 });
  const end = changes.slice(-100);
  assert.ok(Math.abs(end.reduce((sum, change) => sum + change, 0) / 100 - floor.chosen_floor) < 0.03);
});

test("rows that need no anchor get none, and what cannot be held does not wind up", () => {
  assert.equal(simulated({ needed: -1, speed: 0.02 }).weights.at(-1), 0);
  let state = firstState(floor);
  // far below for long: at the bound, and no more is added up than would be at it
  for (let step = 0; step < 500; step++) state = nextState(state, -3, floor);
  assert.equal(weightOf(state, floor), 5);
  assert.ok(state.integral <= floor.lambda_w + 1, `${state.integral}`);
  let steps = 0;
  while (weightOf(state, floor) >= 4.9) {
    state = nextState(state, 0.2, floor);
    steps += 1;
  }
  assert.ok(steps < 20, `it leaves the bound after ${steps} steps`);
});
