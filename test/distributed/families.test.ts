/** Families whose blocks differ by layer or have tables of their own, on two ranks: the numbers of one process. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { isNightly } from "../support/campaign.ts";
import type { FixtureFamily } from "../support/fixture-files.ts";
import { fixtureModelDir } from "../support/gguf-files.ts";
import { cutBack, metricsApart, runFixture, runTraining } from "../support/runs.ts";
import { trainOnRanks } from "../support/train-on-ranks.ts";

const fixture = runFixture({ rows: 8, held: 2 });
after(() => fixture[Symbol.dispose]());

const cases: readonly [family: FixtureFamily, shard: "none" | "all", lora: boolean, inFullOnly: boolean][] = [
  ["gemma4_dense", "all", false, false],
  ["gemma2", "none", true, false],
  ["gemma2", "all", false, true],
  ["gemma4_dense", "none", true, true],
];
function assertAlike(a: string, b: string): void {
  const { name, by } = metricsApart(a, b);
  assert.ok(by < 1e-4, `${name} by ${by}`);
}

for (const [family, shard, usePeft, inFullOnly] of cases) {
  const skip = inFullOnly && !isNightly ? "in full only" : false;
  test(`${family} on two ranks, shard: ${shard}, LoRA ${usePeft}: the numbers of one process, resumed by either`, {
    skip,
    timeout: 600_000,
  }, async () => {
    const values = {
      ...{
        ...fixture.values,
        model_name_or_path: fixtureModelDir(family, fixture.path(`${family}-${shard}`)),
      },
      ...{ objective: "simpo", max_length: 128, overflow: "truncate", max_steps: 3, train_batch_size: 4 },
      ...{ per_device_train_batch_size: 2, learning_rate: 1e-2, logging_steps: 1, save_steps: 1 },
      use_peft: usePeft,
      ...(usePeft ? { lora_r: 4, lora_dropout: 0 } : {}),
    };
    const [alone, together] = [fixture.path(`${family}-${shard}-1`), fixture.path(`${family}-${shard}-2`)];
    await runTraining({ ...values, output_dir: alone });
    await trainOnRanks(2, { ...values, shard, output_dir: together });
    // sums of two ranks round otherwise than those of one
    assertAlike(together, alone);
    // each goes on with what the other has stored
    const [byTwo, byOne] = [cutBack(alone, `${alone}-by-two`, 1), cutBack(together, `${together}-by-one`, 1)];
    const resumed = { ...values, resume_from_checkpoint: "latest" };
    await trainOnRanks(2, { ...resumed, shard, output_dir: byTwo });
    await runTraining({ ...resumed, output_dir: byOne });
    assertAlike(byTwo, alone);
    assertAlike(byOne, alone);
  });
}
