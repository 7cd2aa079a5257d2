/** Rewards of a coin, which no completion can earn: each goes to its own completion, the model moves, and the reward stays where it was. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { readMetrics } from "../../src/runs/metrics.ts";
import { readRollouts } from "../../src/runs/rollouts.ts";
import type { RolloutRow } from "../../src/runs/train-events.ts";
import { coin } from "../../studies/rewards.ts";
import { onlineFixture } from "../support/online-run.ts";
import { inputOf } from "../support/reward-files.ts";
import { checkpointOf, runTraining, tensorsOf } from "../support/runs.ts";

const fixture = onlineFixture();
after(() => fixture[Symbol.dispose]());
const module = `${join(import.meta.dirname, "../../studies/rewards.ts")}#coin`;
const prompts = readFileSync(fixture.online["train_data"] as string, "utf8")
  .trim()
  .split("\n")
  .map((line): string => JSON.parse(line).prompt);

/** What the coin gives the completions of one rollout, whose prompts and first step it goes by. */
async function tossed(rows: readonly RolloutRow[]) {
  const input = {
    ...inputOf(rows.map(({ completion }) => completion)),
    ...{ completion_ids: rows.map(({ ids }) => ids), step: (rows[0]?.step ?? 0) - 1 },
    prompts: rows.map(({ row }) => prompts[Number(row.split(":").at(-1)) - 1] ?? assert.fail(row)),
  };
  return await coin(input);
}

for (const objective of ["grpo", "slime"]) {
  test(`${objective}: 40 steps under a coin, and the later rewards are no higher than the earlier ones`, async () => {
    const dir = fixture.path(objective);
    await runTraining({
      ...fixture.online,
      ...{ objective, reward_funcs: [module], max_steps: 40, save_steps: 20, output_dir: dir },
    });
    const rollouts = readRollouts(join(dir, "rollouts.jsonl.gz"));
    const rewards = rollouts.map(({ reward }) => Number(reward));
    assert.equal(rewards.length, 40 * 8);
    const want = await Promise.all([...Map.groupBy(rollouts, ({ rollout }) => rollout).values()].map(tossed));
    assert.deepEqual(rewards, want.flat());
    // groups of one reward teach nothing; of two groups in a step both are such in one of 64
    const moved = readMetrics(join(dir, "metrics.jsonl")).filter((row) => Number(row["grad_norm"]) > 0);
    assert.ok(moved.length > 30, `${moved.length} steps`);
    const [halfway, last] = [20, 40].map((step) =>
      tensorsOf(join(checkpointOf(dir, step), "model.safetensors")),
    );
    assert.notDeepEqual(halfway, last);
    const half = rewards.length / 2;
    const meanOf = (some: readonly number[]) => some.reduce((sum, x) => sum + x, 0) / some.length;
    const [earlier, later] = [meanOf(rewards.slice(0, half)), meanOf(rewards.slice(half))];
    // 99 % of the difference of two means of coins
    const interval = 2.576 * Math.sqrt((2 * 0.25) / half);
    assert.ok(Math.abs(later - earlier) < interval, `${earlier}, ${later}, ± ${interval}`);
    assert.ok(Math.abs(meanOf(rewards) - 0.5) < interval, `${meanOf(rewards)}`);
  });
}
