/** Evaluations of an on-policy run: what they measure, by prompt too, and what decides which is the best. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, test } from "node:test";
import { at } from "../../src/base/at.ts";
import { readEvaluations } from "../../src/runs/evaluation-records.ts";
import { readMetrics } from "../../src/runs/metrics.ts";
import { onlineFixture } from "../support/online-run.ts";
import { evaluationsOf, runTraining } from "../support/runs.ts";

const fixture = onlineFixture();
after(() => fixture[Symbol.dispose]());

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

test("each evaluation has the values of each prompt, whose means are its metrics; the reward decides which is the best", async () => {
  const dir = fixture.path("evaluated");
  await runTraining({
    ...fixture.online,
    output_dir: dir,
    eval_fraction: 0.5,
    eval_reward_funcs: [`${fixture.rewards}#shorter`],
    eval_steps: 2,
    eval_on_start: true,
    num_generations_eval: 2,
    watch_prompts: null,
  });
  const rows = readMetrics(join(dir, "metrics.jsonl")).filter((row) => "eval_reward" in row);
  const records = readEvaluations(join(dir, "evaluations.jsonl"));
  assert.deepEqual(
    records.map(({ global_step }) => global_step),
    [0, 2, 4],
  );
  const named = {
    ...{
      reward: "eval_reward",
      gold: "eval_gold",
      kl_init: "eval_kl_init",
      distinct: "eval_completions/distinct",
    },
    ...{ length: "eval_completions/mean_length", chosen_delta: "eval_logps/chosen_delta_init" },
  };
  for (const [i, { prompts = {} }] of records.entries()) {
    for (const [key, name] of Object.entries(named)) {
      const values = prompts[key] ?? [];
      assert.equal(values.length, 3, key);
      const [mean, want] = [meanOf(values), at(rows, i)[name] as number];
      assert.ok(Math.abs(mean - want) < 1e-9, `${key} at ${i}: ${mean}, ${want}`);
    }
    assert.equal(prompts["entropy"]?.length, 3);
  }
  for (const { samples = [] } of records) {
    assert.deepEqual(
      samples.map(({ answers }) => answers.length),
      [2, 2, 2],
    );
  }
  assert.ok(records[0]?.prompts?.["chosen_delta"]?.every((delta) => delta === 0));
  assert.ok((records[2]?.prompts?.["chosen_delta"] ?? []).some((delta) => delta !== 0));
});

test("with a repetition penalty the start is no further from itself", async () => {
  const { events, summary } = await runTraining({
    ...fixture.online,
    ...{ output_dir: fixture.path("penalised"), objective: "slime", repetition_penalty: 1.5, max_steps: 1 },
    ...{ eval_fraction: 0.5, eval_on_start: true, watch_prompts: null },
  });
  const [first, last] = evaluationsOf({ events, summary });
  assert.equal(first?.["eval_kl_init"], 0);
  assert.ok(Math.abs(last?.["eval_kl_init"] as number) > 1e-5, `${last?.["eval_kl_init"]}`);
});
