/** An on-policy run that is interrupted anywhere and resumed comes to the same as one that is not, bit for bit. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { onlineFixture } from "../support/online-run.ts";
import { assertSameRun, cutBack, runTraining, type Values } from "../support/runs.ts";

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
