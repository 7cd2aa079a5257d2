/** Rewards of a coin: nothing can be earned, and the reward stays where it was, within its interval. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, test } from "node:test";
import { readRollouts } from "../../src/runs/rollouts.ts";
import { onlineFixture } from "../support/online-run.ts";
import { runTraining } from "../support/runs.ts";

const fixture = onlineFixture();
after(() => fixture[Symbol.dispose]());
const coin = `${join(import.meta.dirname, "../../studies/rewards.ts")}#coin`;

for (const objective of ["grpo", "slime"]) {
  test(`${objective}: 40 steps under a coin, and the later rewards are no higher than the earlier ones`, async () => {
    const dir = fixture.path(objective);
    await runTraining({
      ...fixture.online,
      ...{ objective, reward_funcs: [coin], max_steps: 40, save_steps: 40, output_dir: dir },
    });
    const rewards = readRollouts(join(dir, "rollouts.jsonl.gz")).map(({ reward }) => Number(reward));
    assert.equal(rewards.length, 40 * 8);
    const half = rewards.length / 2;
    const meanOf = (some: readonly number[]) => some.reduce((sum, x) => sum + x, 0) / some.length;
    const [earlier, later] = [meanOf(rewards.slice(0, half)), meanOf(rewards.slice(half))];
    // 99 % of the difference of two means of coins
    const interval = 2.576 * Math.sqrt((2 * 0.25) / half);
    assert.ok(Math.abs(later - earlier) < interval, `${earlier}, ${later}, ± ${interval}`);
    assert.ok(Math.abs(meanOf(rewards) - 0.5) < interval, `${meanOf(rewards)}`);
  });
}
