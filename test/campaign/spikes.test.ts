/** The spike guard (`skip_step_sigma: 6`): 20-sigma spikes are skipped, clean steps are not, and a resumed run skips the same. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Random } from "../../src/base/random.ts";
import type { PairObjective } from "../../src/methods/objective.ts";
import type { TrainEvent } from "../../src/runs/train-events.ts";
import { ops, scope } from "../../src/torch/index.ts";
import { emptyHistory, limitsOf, remember } from "../../src/train/spike-guard.ts";
import { type StepResult, trainStep } from "../../src/train/step.ts";
import { amount, campaignSeed, figure, isNightly } from "../support/campaign.ts";
import { microBatch } from "../support/fixtures.ts";
import { assertSameRun, cutBack, runFixture, runTraining, type Values } from "../support/runs.ts";
import { randomRows, scriptSlime, stateHash, tinyTraining } from "../support/tiny-training.ts";

const random = new Random(campaignSeed);

/** SLIME whose loss, gradient included, is `by()` times as large. */
function scaled(by: () => number): PairObjective {
  return {
    ...scriptSlime,
    evaluate(pairs, totals) {
      const result = scriptSlime.evaluate(pairs, totals);
      return { ...result, loss: ops.mul(result.loss, by()) };
    },
  };
}

/** Mean and sample deviation. */
function spreadOf(values: readonly number[]): { mean: number; deviation: number } {
  const mean = values.reduce((a, x) => a + x, 0) / values.length;
  const squares = values.reduce((a, x) => a + (x - mean) ** 2, 0);
  return { mean, deviation: Math.sqrt(squares / (values.length - 1)) };
}

/** Steps of a tiny model under the guard; `spike` raises one's loss to 20 deviations above the mean. */
function guardedSteps(): {
  step: (index: number) => StepResult;
  spike: (index: number) => { result: StepResult; isSame: boolean };
} {
  let factor = 1;
  // weights move too little to matter: the steps are as alike as steps of random rows are
  const training = tinyTraining(
    "llama_tied",
    "lora",
    scaled(() => factor),
  );
  const history = emptyHistory();
  const pool = randomRows(random, 64);
  const step = (index: number): StepResult => {
    using _ = scope();
    const rows = Array.from({ length: 8 }, () => pool[random.below(pool.length)] as (typeof pool)[number]);
    const options = { learningRate: 1e-6, seed: index, log_entropy: false, limits: limitsOf(history, 6) };
    const result = trainStep(training, [microBatch(rows)], options);
    remember(history, result);
    return result;
  };
  const spike = (index: number) => {
    const { mean, deviation } = spreadOf(history.losses);
    factor = (mean + 20 * deviation) / mean;
    const before = stateHash(training);
    const result = step(index);
    factor = 1;
    return { result, isSame: stateHash(training) === before };
  };
  return { step, spike };
}

test("real steps: every injected spike is skipped and changes no bit, clean steps are applied", () => {
  using _ = scope();
  const steps = amount(160, 10_000);
  const wanted = amount(4, 100);
  const every = Math.floor((steps - 100) / wanted);
  const { step, spike } = guardedSteps();
  let [injected, caught, wrongly] = [0, 0, 0];
  for (let i = 0; i < steps; i++) {
    if (i >= 100 && (i - 100) % every === every - 1 && injected < wanted) {
      injected += 1;
      const { result, isSame } = spike(i);
      if (result.skipped === "spike") caught += 1;
      assert.equal(isSame, result.skipped === "spike", "a skipped step changes no bit");
    } else if (step(i).skipped !== null) wrongly += 1;
    if (isNightly && i % 500 === 499) process.stdout.write(`${i + 1} of ${steps} steps\n`);
  }
  figure(
    11,
    "20 σ spikes in steps of a tiny model",
    `${caught} of ${injected} skipped`,
    "all",
    caught === injected,
  );
  const reached = `${wrongly} of ${(steps - injected).toLocaleString("en")} skipped`;
  figure(11, "clean steps of a tiny model", reached, "≤ 1 in 10,000", wrongly <= 1);
});

/** A normal deviate, by Box and Muller's transform. */
function normal(): number {
  return Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next());
}

test("made-up steps: losses that fall as in training, normal around their course", () => {
  const count = amount(20_000, 2_000_000);
  const history = emptyHistory();
  let wrongly = 0;
  for (let i = 0; i < count; i++) {
    const loss = 0.3 + 0.4 * Math.exp(-(i % 10_000) / 2000) + 0.05 * normal();
    const gradNorm = 2 + 0.4 * normal();
    // each 10,000 steps are a run
    if (i % 10_000 === 0) Object.assign(history, emptyHistory());
    const limits = limitsOf(history, 6);
    const isSpike = limits !== null && (loss > limits.loss || gradNorm > limits.gradNorm);
    if (isSpike) wrongly += 1;
    remember(history, { loss, gradNorm, skipped: isSpike ? "spike" : null });
  }
  const allowed = count / 10_000;
  const reached = `${wrongly} of ${count.toLocaleString("en")} skipped`;
  figure(11, "clean steps of normal losses and norms", reached, "≤ 1 in 10,000", wrongly <= allowed);
});

test("a run skips its spikes, tells of them with their rows, and resumed does the same, bit for bit", async () => {
  using fixture = runFixture({ rows: 12, held: 2 });
  let at = 0;
  const spikes = [69, 75];
  const objective = scaled(() => (spikes.includes(at) ? 50 : 1));
  const onEvent = (event: TrainEvent) => {
    if (event.type === "step" || event.type === "start") at = event.step + 1;
  };
  const base: Values = {
    ...fixture.values,
    objective: "slime",
    use_peft: true,
    lora_r: 2,
    per_device_train_batch_size: 2,
    max_steps: 78,
    learning_rate: 1e-5,
    skip_step_sigma: 6,
    eval_strategy: "no",
    save_steps: 72,
    logging_steps: 1,
  };
  const whole = fixture.path("whole");
  const record = await runTraining({ ...base, output_dir: whole }, { objective, onEvent });
  const skipped = record.events.flatMap((event) => (event.type === "skipped" ? [event] : []));
  assert.deepEqual(
    skipped.map(({ step, reason, rows }) => [step, reason, rows.length]),
    spikes.map((step) => [step, "spike", 2]),
  );
  assert.equal(record.summary.skippedSteps, 2);
  const cut = cutBack(whole, fixture.path("cut"), 72);
  const resumed = { ...base, output_dir: cut, resume_from_checkpoint: "latest" };
  const again = await runTraining(resumed, { objective, onEvent });
  assert.equal(again.summary.skippedSteps, 2);
  assertSameRun(cut, whole, 78);
});
