/** Training on several ranks gives the numbers of one. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { isMeasurement, readMetrics } from "../../src/runs/metrics.ts";
import { runFixture, runTraining, tensorsOf, type Values } from "../support/runs.ts";
import { trainOnRanks } from "../support/train-on-ranks.ts";

const fixture = runFixture({ rows: 20, held: 5 });
after(() => fixture[Symbol.dispose]());
const recipe: Values = {
  ...fixture.values,
  objective: "slime",
  max_steps: 4,
  per_device_train_batch_size: 2,
  train_batch_size: 4,
  learning_rate: 1e-3,
  logging_steps: 1,
  eval_strategy: "steps",
  eval_steps: 2,
  save_strategy: "no",
};

/** ‖a − b‖ / ‖b‖ over all tensors. */
function distance(a: Map<string, Float32Array>, b: Map<string, Float32Array>): number {
  assert.deepEqual([...a.keys()], [...b.keys()]);
  let [square, whole] = [0, 0];
  for (const [name, values] of b) {
    const other = a.get(name) ?? assert.fail();
    for (const [i, value] of values.entries()) {
      square += (value - (other[i] ?? Number.NaN)) ** 2;
      whole += value ** 2;
    }
  }
  return Math.sqrt(square / whole);
}

const kinds: Record<string, Values> = {
  "full tuning": { use_peft: false },
  LoRA: { use_peft: true, lora_r: 4, lora_dropout: 0.1 },
};

for (const [kind, values] of Object.entries(kinds)) {
  for (const shard of ["none", "all"]) {
    for (const size of [2, 3]) {
      test(`${kind}, shard ${shard}, ${size} ranks`, async () => {
        const name = `${kind}-${shard}-${size}`;
        const one = fixture.path(`${name}-one`);
        const many = fixture.path(`${name}-many`);
        await runTraining({ ...recipe, ...values, output_dir: one });
        await trainOnRanks(size, { ...recipe, ...values, shard, output_dir: many });
        const [expected, got] = [readMetrics(`${one}/metrics.jsonl`), readMetrics(`${many}/metrics.jsonl`)];
        assert.equal(got.length, expected.length);
        for (const [i, row] of expected.entries()) {
          for (const [metric, value] of Object.entries(row)) {
            if (isMeasurement(metric) || typeof value !== "number") continue;
            const other = Number(got[i]?.[metric]);
            const most = 2e-5 * Math.max(1e-2, Math.abs(value));
            assert.ok(Math.abs(other - value) <= most, `${metric}: ${other}, one rank ${value}`);
          }
        }
        const file = kind === "LoRA" ? "adapter/adapter_model.safetensors" : "model/model.safetensors";
        const far = distance(tensorsOf(`${many}/${file}`), tensorsOf(`${one}/${file}`));
        assert.ok(far < 1e-5, `weights differ by ${far}`);
      });
    }
  }
}
