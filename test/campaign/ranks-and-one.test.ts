/**
 * Steps on 2, 3 and 4 ranks against one process, in float32: losses within 1e-6, gradient norms within 2e-6, weights within
 * 1e-5 (relative, L2); two runs of one size are equal to the bit. In `npm test` 8 steps on 3 ranks, which do not divide the
 * rows; 20 on each in the nightly run, with LoRA's dropout and without.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { sha256File } from "../../src/base/files.ts";
import { type MetricRow, readMetrics } from "../../src/runs/metrics.ts";
import { amount, isNightly } from "../support/campaign.ts";
import { distanceOf, runFixture, runTraining, tensorsOf, type Values } from "../support/runs.ts";
import { trainOnRanks } from "../support/train-on-ranks.ts";

const steps = amount(8, 20);
const fixture = runFixture({ family: "qwen3", rows: 30, held: 0 });
after(() => fixture[Symbol.dispose]());

const recipe: Values = {
  ...fixture.values,
  max_steps: steps,
  per_device_train_batch_size: 2,
  train_batch_size: 4,
  learning_rate: 1e-4,
  logging_steps: 1,
  save_strategy: "no",
};

interface Kind {
  values: Values;
  /** The exported weights. */
  file: string;
}

const adapter = "adapter/adapter_model.safetensors";
const kinds: Record<string, Kind> = {
  "full tuning": { values: { use_peft: false, objective: "slime" }, file: "model/model.safetensors" },
  "LoRA with dropout": {
    values: { use_peft: true, lora_r: 4, lora_dropout: 0.1, objective: "dpo" },
    file: adapter,
  },
  "LoRA without": {
    values: { use_peft: true, lora_r: 4, lora_dropout: 0, objective: "simpo" },
    file: adapter,
  },
};

function rowsOf(dir: string): MetricRow[] {
  return readMetrics(`${dir}/metrics.jsonl`).filter((row) => "loss" in row);
}

function largest(some: readonly MetricRow[], others: readonly MetricRow[], key: string): number {
  assert.equal(some.length, others.length);
  return Math.max(
    ...others.map(
      (row, i) => Math.abs(Number(some[i]?.[key]) - Number(row[key])) / Math.abs(Number(row[key])),
    ),
  );
}

for (const [kind, { values, file }] of Object.entries(kinds)) {
  test(kind, { skip: isNightly || kind === "LoRA with dropout" ? false : "nightly only" }, async () => {
    const alone = fixture.path(`${kind} alone`);
    await runTraining({ ...recipe, ...values, output_dir: alone });
    for (const size of isNightly ? [2, 3, 4] : [3]) {
      for (const shard of isNightly ? ["none", "all"] : ["all"]) {
        const dir = fixture.path(`${kind} ${size} ${shard}`);
        await trainOnRanks(size, { ...recipe, ...values, shard, output_dir: dir });
        const [got, expected] = [rowsOf(dir), rowsOf(alone)];
        assert.equal(got.length, steps);
        const apart = {
          loss: largest(got, expected, "loss"),
          norm: largest(got, expected, "grad_norm"),
          weights: distanceOf(tensorsOf(`${dir}/${file}`), tensorsOf(`${alone}/${file}`)),
        };
        if (isNightly) console.log(`${kind}, ${size} ranks, shard ${shard}: ${JSON.stringify(apart)}`);
        assert.ok(apart.loss < 1e-6, `losses differ by ${apart.loss}`);
        assert.ok(apart.norm < 2e-6, `gradient norms differ by ${apart.norm}`);
        assert.ok(apart.weights < 1e-5, `weights differ by ${apart.weights}`);
      }
    }
  });
}

test("two runs of one size are equal to the bit", async () => {
  const digests: string[] = [];
  for (const run of ["first", "second"]) {
    const dir = fixture.path(run);
    await trainOnRanks(3, { ...recipe, use_peft: false, shard: "all", max_steps: 4, output_dir: dir });
    digests.push(sha256File(`${dir}/model/model.safetensors`));
  }
  assert.equal(digests[0], digests[1]);
});
