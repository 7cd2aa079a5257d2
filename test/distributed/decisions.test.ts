/** What a run decides on its way, decided alike by all ranks: short steps, skipped steps, the end before the last step. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { readMetrics } from "../../src/runs/metrics.ts";
import { distanceOf, logOf, runFixture, runTraining, tensorsOf, type Values } from "../support/runs.ts";
import { endsOfTraining, trainOnRanks } from "../support/train-on-ranks.ts";

const fixture = runFixture({ family: "llama_tied", rows: 13, held: 5 });
after(() => fixture[Symbol.dispose]());

const recipe: Values = {
  ...fixture.values,
  per_device_train_batch_size: 1,
  train_batch_size: 4,
  learning_rate: 1e-3,
  logging_steps: 1,
  eval_strategy: "epoch",
  save_strategy: "no",
};

for (const shard of ["none", "all"]) {
  test(`an epoch's last step of one row on three ranks: two have nothing to do, shard ${shard}`, async () => {
    for (const [name, values] of [
      ["full", { use_peft: false }],
      ["lora", { use_peft: true, lora_r: 4, lora_dropout: 0.1, objective: "dpo" }],
    ] as const) {
      if ((name === "full") !== (shard === "all")) continue;
      const [alone, many] = [fixture.path(`alone ${name} ${shard}`), fixture.path(`many ${name} ${shard}`)];
      const both = { ...recipe, ...values, num_train_epochs: 2 };
      await runTraining({ ...both, output_dir: alone });
      await trainOnRanks(3, { ...both, shard, output_dir: many });
      const file = name === "full" ? "model/model.safetensors" : "adapter/adapter_model.safetensors";
      const far = distanceOf(tensorsOf(`${many}/${file}`), tensorsOf(`${alone}/${file}`));
      assert.ok(far < 1e-5, `${name}: weights differ by ${far}`);
      assert.equal(readMetrics(`${many}/metrics.jsonl`).length, readMetrics(`${alone}/metrics.jsonl`).length);
    }
  });

  test(`steps that are not finite are skipped, named and given up on all ranks alike, shard ${shard}`, async () => {
    const [alone, many] = [fixture.path(`alone nan ${shard}`), fixture.path(`many nan ${shard}`)];
    // weights of 1e30 after the first step give logits that are not finite
    const broken = {
      ...recipe,
      use_peft: false,
      learning_rate: 1e30,
      max_nonfinite_steps: 1,
      max_grad_norm: 0,
    };
    await assert.rejects(runTraining({ ...broken, output_dir: alone }), /with .*train\.jsonl/);
    const ends = await endsOfTraining(2, { ...broken, shard, output_dir: many });
    for (const { status, stdout } of ends) {
      assert.equal(status, 6);
      assert.match(stdout, /1 step had a loss or gradient that is not finite, .*train\.jsonl/);
    }
    const skippedOf = (dir: string) =>
      logOf(dir).flatMap(({ event, step, rows }) => (event === "skipped" ? [[step, rows]] : []));
    assert.ok(skippedOf(alone).length > 0);
    assert.deepEqual(skippedOf(many), skippedOf(alone));
  });
}

test("early stopping ends all ranks after the same step", async () => {
  const values = {
    ...recipe,
    use_peft: false,
    // far from what rounding decides: losses rise by 5 % in the epoch that ends it
    learning_rate: 0.05,
    early_stopping_patience: 1,
    num_train_epochs: 8,
  };
  const [alone, many] = [fixture.path("alone early"), fixture.path("many early")];
  const { summary } = await runTraining({ ...values, output_dir: alone });
  assert.equal(summary.reason, "early stop");
  const ends = await trainOnRanks(3, { ...values, shard: "all", output_dir: many });
  for (const [rank, { stdout }] of ends.entries()) {
    const [place, end] = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    assert.deepEqual([end.reason, end.step], ["early stop", summary.step]);
    // the library says which rank it is, and gives events on rank 0 only
    assert.deepEqual([place.rank, place.ranks, place.events > 0], [rank, 3, rank === 0]);
  }
});
