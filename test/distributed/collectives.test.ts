/** All ranks of a training begin the same collectives in the same order: what would hang on NCCL shows here as a difference. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { allEnded, freePort, placesOf, startRankPrograms } from "../support/rank-processes.ts";
import { runFixture, type Values } from "../support/runs.ts";

async function recordsOf(size: number, values: Values): Promise<string[][]> {
  const settings = { VALUES: JSON.stringify(values) };
  const places = placesOf(size, await freePort()).map((place) => ({ ...place, ...settings }));
  const ends = await allEnded(startRankPrograms("record-rank-child.ts", places));
  return ends.map(({ status, stdout, stderr }) => {
    assert.equal(status, 0, stderr);
    return JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as string[];
  });
}

for (const [shard, tuning] of [
  ["all", { use_peft: false }],
  ["all", { use_peft: true, lora_r: 4 }],
  ["none", { use_peft: false }],
] as const) {
  test(`3 ranks, shard: ${shard}, LoRA ${tuning.use_peft}: one sequence of (operation, unit, bytes), with a rank without rows`, async () => {
    using fixture = runFixture({ rows: 9, held: 2 });
    const records = await recordsOf(3, {
      ...{ ...fixture.values, ...tuning, objective: "simpo", shard, output_dir: fixture.path("run") },
      // four rows on three ranks, two evaluated: some rank has nothing to do in either
      ...{ per_device_train_batch_size: 1, train_batch_size: 4, max_steps: 2, save_steps: 1 },
      ...{ eval_strategy: "steps", eval_steps: 1 },
    });
    for (const record of records) assert.deepEqual(record, records[0]);
    const [first = []] = records;
    const ofUnits = first.filter((line) => shard === "none" || /^(allGather|exchange) model\./.test(line));
    assert.ok(ofUnits.length > 10, first.slice(0, 40).join("\n"));
  });
}
