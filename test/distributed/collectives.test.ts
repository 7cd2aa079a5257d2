/**
 * All ranks of a training begin the same collectives in the same order: what would hang on NCCL shows here as a difference. They are
 * those that the planner counts bytes by.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { loadConfig } from "../../src/config/load-config.ts";
import { plan } from "../../src/recipes/plan.ts";
import { plannedStep, sentBy, stepOf } from "../support/planned-collectives.ts";
import { allEnded, freePort, placesOf, startRankPrograms } from "../support/rank-processes.ts";
import type { RankRecord } from "../support/record-rank-child.ts";
import { runFixture, type Values } from "../support/runs.ts";

async function recordsOf(size: number, values: Values): Promise<RankRecord[]> {
  const settings = { VALUES: JSON.stringify(values) };
  const places = placesOf(size, await freePort()).map((place) => ({ ...place, ...settings }));
  const ends = await allEnded(startRankPrograms("record-rank-child.ts", places));
  return ends.map(({ status, stdout, stderr }) => {
    assert.equal(status, 0, stderr);
    return JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as RankRecord;
  });
}

const lora = { use_peft: true, lora_r: 4, lora_dropout: 0 };

for (const [shard, keepGathered, tuning] of [
  ["all", false, { use_peft: false, objective: "simpo" }],
  ["all", true, { ...lora, objective: "dpo", precompute_ref_log_probs: false }],
  ["none", true, { use_peft: false, objective: "simpo" }],
] as const) {
  test(`3 ranks, shard: ${shard}, LoRA ${tuning.use_peft}: one sequence of (operation, unit, bytes), with a rank without rows`, async () => {
    using fixture = runFixture({ family: "llama_untied", rows: 9, held: 2 });
    const values = {
      ...{ ...fixture.values, ...tuning, shard, output_dir: fixture.path("run") },
      ...(shard === "none" ? {} : { keep_gathered: keepGathered }),
      // four rows on three ranks, two evaluated: some rank has nothing to do in either
      ...{ per_device_train_batch_size: 1, train_batch_size: 4, max_steps: 2, save_steps: 2 },
      ...{ eval_strategy: "steps", eval_steps: 2 },
    };
    const records = await recordsOf(3, values);
    const [first] = records;
    for (const { lines } of records) assert.deepEqual(lines, first?.lines);
    const step = stepOf(first as RankRecord);
    const layout = { shard, keep_gathered: keepGathered, hosts: [3], microBatches: 2 };
    assert.deepEqual(step, plannedStep(values, layout));
    const { ranks } = await plan(loadConfig({ values }).config, { count: 3 });
    assert.ok(Math.abs((ranks?.sentPerStep ?? 0) / sentBy(step, 3) - 1) < 1e-9);
  });
}
