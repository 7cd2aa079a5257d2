/** Rows of metrics: averages over the steps that have a metric, whether or not the run was resumed between them. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { withoutLeaks } from "../../test/support/close.ts";
import { temporaryDirectory } from "../../test/support/tiny-models.ts";
import { tinyTraining } from "../../test/support/tiny-training.ts";
import { readTextFile } from "../base/files.ts";
import { stringifyNumbers } from "../base/json-numbers.ts";
import { scope } from "../torch/index.ts";
import { newState, readCheckpointFiles, type TrainerState, writeTrainedState } from "./checkpoint.ts";
import { Logbook } from "./logbook.ts";
import type { StepResult } from "./step.ts";

const nan = Number.NaN;

function stepWith(metrics: Record<string, number>, given: Partial<StepResult> = {}): StepResult {
  return {
    loss: 1,
    gradNorm: 2,
    metrics,
    skipped: null,
    tokens: 3,
    seconds: 1,
    logps: null,
    stops: false,
    ...given,
  };
}

/** The row of `steps`. */
function rowOf(steps: readonly StepResult[], state: TrainerState = newState("rows")) {
  const logbook = new Logbook(state);
  for (const one of steps) logbook.add(one);
  return logbook.row({
    ...{ step: steps.length, epoch: 1, learningRate: 0.5, sourceMetrics: {}, peakMemoryBytes: 0 },
  });
}

test("where every step has every metric the row has their sums over the number of steps, to the bit", () => {
  const values = [0.1, 0.7, -0.3];
  const row = rowOf(values.map((kl) => stepWith({ kl }, { loss: 3 * kl })));
  assert.equal(row["kl"], (0.1 + 0.7 + -0.3) / 3);
  assert.equal(row["loss"], (3 * 0.1 + 3 * 0.7 + 3 * -0.3) / 3);
  assert.deepEqual(Object.keys(row).slice(0, 5), ["global_step", "epoch", "loss", "grad_norm", "kl"]);
});

test("a metric is averaged over the steps that have it, whichever they are", () => {
  const row = rowOf([stepWith({}), stepWith({ "rewards/margins": 2 }), stepWith({ "rewards/margins": 4 })]);
  assert.equal(row["rewards/margins"], 3);
  assert.equal(rowOf([stepWith({ reward: 5 }), stepWith({}), stepWith({})])["reward"], 5);
});

test("a step whose metric is NaN has nothing to average; NaN stays where no step has", () => {
  assert.equal(rowOf([stepWith({ reward: nan }), stepWith({ reward: 5 })])["reward"], 5);
  assert.equal(rowOf([stepWith({ reward: 5 }), stepWith({ reward: nan })])["reward"], 5);
  const none = rowOf([stepWith({ reward: nan }), stepWith({})]);
  assert.ok("reward" in none && Number.isNaN(none["reward"]));
  assert.equal(rowOf([stepWith({ reward: Infinity }), stepWith({ reward: 5 })])["reward"], Infinity);
});

test("a loss or gradient that is not finite is seen in the row", () => {
  const broken = stepWith({ kl: nan }, { loss: nan, gradNorm: nan, skipped: "not finite" });
  const row = rowOf([stepWith({ kl: 1 }), broken]);
  assert.deepEqual([row["loss"], row["grad_norm"], row["kl"], row["skipped_steps"]], [nan, nan, 1, 1]);
});

test("nothing of a window is left in the next one", () => {
  const state = newState("rows");
  rowOf([stepWith({ kl: 1 }), stepWith({ kl: 1 })], state);
  const row = rowOf([stepWith({ reward: 7 })], state);
  assert.deepEqual(["kl" in row, row["reward"], row["loss"]], [false, 7, 1]);
});

/** `state` after it was in a checkpoint, in which `change` was made. */
function resumed(state: TrainerState, change: (written: Record<string, unknown>) => void): TrainerState {
  return withoutLeaks(() => {
    using _ = scope();
    using dir = temporaryDirectory();
    const training = tinyTraining("llama_tied", "lora");
    writeTrainedState(dir.path, training);
    const path = join(dir.path, "trainer_state.json");
    const written = structuredClone(state) as unknown as Record<string, unknown>;
    change(written);
    writeFileSync(path, stringifyNumbers(written));
    assert.ok(readTextFile(path).includes('"window"'));
    return readCheckpointFiles(dir.path, training, "rows");
  });
}

test("a resumed run's row is that of the run; from a checkpoint of earlier versions each sum is of all its steps", () => {
  const [first, second, third] = [
    stepWith({ kl: 0.1 }),
    stepWith({ kl: 0.7, reward: 4 }),
    stepWith({ kl: nan }),
  ];
  const whole = rowOf([first, second, third]);
  const cut = newState("rows");
  const logbook = new Logbook(cut);
  logbook.add(first);
  logbook.add(second);
  const again = rowOf(
    [third],
    resumed(cut, () => {}),
  );
  for (const name of ["loss", "grad_norm", "kl", "reward"]) assert.equal(again[name], whole[name]);
  const earlier = newState("rows");
  earlier.window = { steps: 2, sums: { loss: 2, grad_norm: 4, kl: 0.5 }, counts: {} };
  const old = resumed(earlier, ({ window }) => delete (window as Partial<TrainerState["window"]>).counts);
  const row = rowOf([stepWith({ kl: 0.4 })], old);
  assert.deepEqual([row["loss"], row["grad_norm"], row["kl"]], [1, 2, (0.5 + 0.4) / 3]);
});

test("pauses count for no step: time and tokens are of all steps that this process took in the window", (t) => {
  let now = 0;
  t.mock.method(performance, "now", () => now * 1000);
  const state = newState("rows");
  // a resumed run: two steps of the window were taken before
  state.window = { steps: 2, sums: { loss: 2, grad_norm: 4 }, counts: { loss: 2, grad_norm: 2 } };
  const logbook = new Logbook(state);
  const speedOf = () => {
    const row = logbook.row({
      ...{ step: 1, epoch: 1, learningRate: 0.5, sourceMetrics: {}, peakMemoryBytes: 0 },
    });
    return [row["step_time"], row["tokens_per_second"]];
  };
  const take = (seconds: number): void => {
    now += seconds;
    logbook.add(stepWith({}));
  };
  now = 50;
  logbook.restart();
  take(2);
  take(2);
  now += 100; // an evaluation
  logbook.restart();
  take(5);
  assert.deepEqual(speedOf(), [3, 1]);
  take(4);
  assert.deepEqual(speedOf(), [4, 3 / 4]);
});
