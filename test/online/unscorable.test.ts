/** Rollouts of which no completion can be scored: nothing is learned from them, and the run continues, whatever the objective. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { methodsWhere } from "../../src/methods/index.ts";
import { readMetrics } from "../../src/runs/metrics.ts";
import { readRollouts } from "../../src/runs/rollouts.ts";
import { onlineFixture } from "../support/online-run.ts";
import { checkpointOf, runTraining, tensorsOf } from "../support/runs.ts";

const fixture = onlineFixture();
after(() => fixture[Symbol.dispose]());

/** The first rollout has rewards, the second and third none: NaN, and null. */
const rewards = fixture.path("fading.mjs");
writeFileSync(
  rewards,
  "export const fading = ({ completion_ids, step }) => completion_ids.map((ids) => (step === 0 ? ids[0] : step === 1 ? NaN : null));\n",
);

for (const objective of methodsWhere(({ onPolicy }) => onPolicy !== "never")) {
  test(`${objective}: no gradient and finite numbers from a rollout of NaN and one of null`, async () => {
    const dir = fixture.path(objective);
    await runTraining({
      ...fixture.online,
      ...{ objective, output_dir: dir, max_steps: 3, reward_funcs: [`${rewards}#fading`] },
      // a rollout a step
      ...(objective === "ppo" ? { num_ppo_epochs: 1, num_mini_batches: 1 } : {}),
      ...{ reward_max_failures: 1, eval_fraction: 0.34, eval_steps: 1 },
    });
    const rows = readMetrics(join(dir, "metrics.jsonl")).filter((row) => "loss" in row);
    assert.ok((rows[0]?.["grad_norm"] as number) > 0);
    for (const [i, row] of rows.slice(1).entries()) {
      const counts = ["not_finite", "failures", "unscored"].map((count) => row[`rewards/fading/${count}`]);
      assert.deepEqual(counts, i === 0 ? [8, 8, 0] : [0, 0, 8]);
      assert.equal(row["grad_norm"], 0, `${row.global_step}`);
      assert.equal(row["loss"], 0);
      assert.equal(row["frac_reward_zero_std"], 1);
    }
    for (const { step, reward, advantage } of readRollouts(join(dir, "rollouts.jsonl.gz"))) {
      if (step > 1) assert.deepEqual([reward, advantage ?? 0], [null, 0]);
    }
    const weights = tensorsOf(join(checkpointOf(dir, 3), "model.safetensors"));
    for (const [name, values] of weights) assert.ok(values.every(Number.isFinite), name);
  });
}
