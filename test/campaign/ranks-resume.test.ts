/**
 * Runs of two ranks, resumed on two from one step or another: export, checkpoint and metrics are equal to the bit. In `npm test`
 * from one step of four; from each of 20 in the nightly run.
 */
import assert from "node:assert/strict";
import { cpSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { amount, isNightly } from "../support/campaign.ts";
import { filesOf, metricsOf, runFixture, type Values } from "../support/runs.ts";
import { cutTo, trainOnRanks } from "../support/train-on-ranks.ts";

const steps = amount(4, 20);
const from = Array.from({ length: amount(1, steps - 1) }, (_, i) => i + amount(2, 1));
const fixture = runFixture({ rows: 20, held: 3 });
after(() => fixture[Symbol.dispose]());

const recipe: Values = {
  ...fixture.values,
  objective: "slime",
  max_steps: steps,
  per_device_train_batch_size: 2,
  train_batch_size: 4,
  learning_rate: 1e-3,
  logging_steps: 1,
  eval_strategy: "steps",
  eval_steps: 2,
  save_strategy: "steps",
  save_steps: 1,
  save_total_limit: null,
};

const kinds: Record<string, Values> = {
  "full tuning, shard all": { use_peft: false, shard: "all" },
  "LoRA, shard none": { use_peft: true, lora_r: 4, lora_dropout: 0.1, shard: "none" },
  "LoRA, shard all": { use_peft: true, lora_r: 4, lora_dropout: 0.1, shard: "all" },
};

/** What must be equal: the last checkpoint but for its copies of logs, the export, and the metrics. */
function resultOf(run: string): unknown {
  const {
    "records.json": _,
    "checkpoint.json": __,
    ...last
  } = filesOf(join(run, "checkpoints", `checkpoint-${steps}`));
  const exported = readdirSync(run).filter((name) => name === "model" || name === "adapter");
  assert.equal(exported.length, 1);
  return { last, exported: exported.map((name) => filesOf(join(run, name))), metrics: metricsOf(run) };
}

for (const [kind, values] of Object.entries(kinds)) {
  // in `npm test` the one of most parts
  if (!isNightly && kind !== "LoRA, shard all") continue;
  test(`${kind}: resumed from steps ${from.join(", ")} of ${steps}`, async () => {
    const whole = fixture.path(`${kind}-whole`);
    await trainOnRanks(2, { ...recipe, ...values, output_dir: whole });
    const want = resultOf(whole);
    for (const step of from) {
      const again = fixture.path(`${kind}-${step}`);
      cpSync(whole, again, { recursive: true });
      cutTo(again, step);
      const resumed = { ...recipe, ...values, output_dir: again, resume_from_checkpoint: "latest" };
      await trainOnRanks(2, resumed);
      assert.deepEqual(resultOf(again), want, `from step ${step}`);
      rmSync(again, { recursive: true });
    }
  });
}
