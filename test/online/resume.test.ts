/** An on-policy run that is interrupted anywhere and resumed comes to the same as one that is not, bit for bit. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, test } from "node:test";
import { readMetrics } from "../../src/runs/metrics.ts";
import { onlineFixture } from "../support/online-run.ts";
import { assertSameRun, cutBack, filesOf, metricsOf, runTraining, type Values } from "../support/runs.ts";

const fixture = onlineFixture();
after(() => fixture[Symbol.dispose]());

const steps = 8;
/** Rollouts of four steps: two parts, two passes. */
const recipe: Values = {
  ...fixture.online,
  ...{ max_steps: steps, steps_per_generation: 2, num_iterations: 2, beta: 0.05, top_p: 0.9 },
  ...{ use_peft: true, lora_r: 4, learning_rate: 5e-3 },
};
const whole = fixture.path("whole");
await runTraining({ ...recipe, output_dir: whole });

for (const step of [1, 2, 3, 4, 5, 7]) {
  test(`resumed after step ${step}`, async () => {
    const dir = cutBack(whole, fixture.path(`cut-${step}`), step);
    await runTraining({ ...recipe, output_dir: dir, resume_from_checkpoint: "latest" });
    assertSameRun(dir, whole, steps);
  });
}

for (const at of ["sampling", "scoring", "step"] as const) {
  test(`stopped by a signal while ${at}, and resumed`, async () => {
    const dir = fixture.path(`stopped-${at}`);
    const stop = new AbortController();
    const { summary } = await runTraining(
      { ...recipe, output_dir: dir },
      {
        signal: stop.signal,
        onWork: (work) => {
          if (work.at === at && work.step === 5) stop.abort();
        },
      },
    );
    assert.equal(summary.reason, "stopped");
    await runTraining({ ...recipe, output_dir: dir, resume_from_checkpoint: "latest" });
    assertSameRun(dir, whole, steps);
  });
}

const held = onlineFixture({ held: 2 });
after(() => held[Symbol.dispose]());
const evaluated: Values = {
  ...held.online,
  ...{ max_steps: 4, eval_steps: 2, num_generations_eval: 2, save_steps: 4 },
  ...{ metric_for_best_model: "eval_reward", greater_is_better: true, load_best_model_at_end: true },
};
const measured = held.path("measured");
await runTraining({ ...evaluated, output_dir: measured });
const rowsOf = (dir: string) => readMetrics(join(dir, "metrics.jsonl"));

/** Runs until the middle of the evaluation at `step`, in which it is asked to stop. */
async function stoppedInEvaluation(values: Values, step: number) {
  const stop = new AbortController();
  let later = 0;
  const { summary } = await runTraining(values, {
    signal: stop.signal,
    onWork: (work) => {
      if (work.at !== "evaluation" || work.step !== step) return;
      later += stop.signal.aborted ? 1 : 0;
      // tokens are counted in sampling; what comes before it counts few batches, to their end
      if (work.done > 0 && work.done < work.total && work.total > 8) stop.abort();
    },
  });
  assert.ok(stop.signal.aborted && later <= 1, `${later} more calls`);
  assert.deepEqual([summary.reason, summary.step], ["stopped", step]);
}

for (const step of [0, 2, 4]) {
  test(`stopped by a signal in the evaluation at step ${step}: nothing of it is recorded, and the resumed run makes it`, async () => {
    const dir = held.path(`evaluation-${step}`);
    await stoppedInEvaluation({ ...evaluated, output_dir: dir }, step);
    assert.ok(!rowsOf(dir).some((row) => row.global_step === step && "eval_reward" in row));
    await runTraining({ ...evaluated, output_dir: dir, resume_from_checkpoint: "latest" });
    // the last checkpoint was written before its evaluation
    if (step < 4) assertSameRun(dir, measured, 4);
    assert.deepEqual(metricsOf(dir), metricsOf(measured));
    assert.deepEqual(filesOf(join(dir, "model")), filesOf(join(measured, "model")));
  });
}

test("what an evaluation that was put off finds too far gone ends the resumed run before its next step", async () => {
  const bounds = { watch_thresholds: { kl: 1e-4 }, watch_action: "stop", load_best_model_at_end: false };
  const values = { ...evaluated, ...bounds, output_dir: held.path("collapsed") };
  await stoppedInEvaluation(values, 2);
  const { summary } = await runTraining({ ...values, resume_from_checkpoint: "latest" });
  assert.deepEqual([summary.reason, summary.step], ["collapsed", 2]);
});
