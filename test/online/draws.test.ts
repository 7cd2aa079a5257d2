/** The draws of a rollout under `dynamic_sampling`: what all of them took is in its speeds; how many there may be. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { loadConfig } from "../../src/config/load-config.ts";
import { drawRollout } from "../../src/online/draw-rollout.ts";
import type { Scorer } from "../../src/online/scored-rollout.ts";
import { openRolloutTraining } from "../../src/recipes/rollout-training.ts";
import { onlineFixture } from "../support/online-run.ts";

const fixture = onlineFixture();
after(() => fixture[Symbol.dispose]());

test("speeds and seconds are of all draws, not of the last one", async () => {
  const values = { ...fixture.online, output_dir: fixture.path("unused") };
  await using open = await openRolloutTraining({ values });
  const { training, data } = open;
  const { model, numerics } = training;
  const calls: number[] = [];
  let tokens = 0;
  // the first draws take long; the last has one group left
  const scorer: Scorer = {
    names: ["even"],
    async score({ completions, completion_ids: ids }) {
      tokens += ids.flat().length;
      calls.push(completions.length);
      if (calls.length < 3) await setTimeout(100);
      const values = completions.map((_, i) => (calls.length > 1 && i < 4 ? i : 0));
      return { functions: [{ name: "even", values, unscored: [], seconds: 2 }] };
    },
  };
  const config = { ...open.config, dynamic_sampling: 2 };
  const prompts = data.dataset.examples.slice(0, 2).map((example, index) => ({ example, index }));
  const parts = { config, model, scorer, dtype: numerics.dtype, ...data };
  const { speeds } = await drawRollout(parts, { round: 0, step: 0, prompts }, {});
  assert.deepEqual(calls, [8, 8, 4]);
  assert.equal(speeds["rewards/even/seconds"], 6);
  // 20 completions in no less than twice 100 ms, less the timer's rounding
  const perSecond = (what: string) => speeds[`speed/scoring_${what}_per_second`] ?? Number.NaN;
  assert.ok(perSecond("completions") < 20 / 0.19);
  // of the same time
  const ratio = perSecond("tokens") / perSecond("completions");
  assert.ok(Math.abs(ratio - tokens / 20) < 1e-9 * ratio, `${ratio}, ${tokens / 20}`);
});

test("draws beyond the seeds of a rollout are refused", () => {
  const values = { ...fixture.online, output_dir: fixture.path("unused") };
  assert.equal(loadConfig({ values: { ...values, dynamic_sampling: 1023 } }).config.dynamic_sampling, 1023);
  assert.throws(
    () => loadConfig({ values: { ...values, dynamic_sampling: 1024 } }),
    /dynamic_sampling: expected a whole number at least 0 and at most 1023, got the number 1024/,
  );
});
