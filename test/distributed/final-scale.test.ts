/** `final_scale: auto` on ranks: they measure together what one process measures, to the bit, and rank 0 picks and exports. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { loadModel } from "../../src/models/load.ts";
import { measureScales } from "../../src/recipes/scale.ts";
import { readScales } from "../../src/runs/scale-record.ts";
import { noGrad, scope } from "../../src/torch/index.ts";
import { evaluationsOf, runFixture, runTraining, type Values } from "../support/runs.ts";
import { logitsOf } from "../support/tiny-models.ts";
import { endsOfTraining, trainOnRanks } from "../support/train-on-ranks.ts";

const fixture = runFixture({ rows: 12, held: 33 });
after(() => fixture[Symbol.dispose]());
const base = String(fixture.values["model_name_or_path"]);
const recipe: Values = {
  ...fixture.values,
  train_batch_size: 6,
  per_device_train_batch_size: 3,
  // three batches on two ranks: one has nothing to do in the second round
  per_device_eval_batch_size: 12,
  max_steps: 4,
  save_strategy: "no",
};

function logits(adapter: string): number[] {
  using _ = scope();
  return noGrad(() => logitsOf(loadModel(base, { adapter }), [3, 9, 4, 7, 12, 5]));
}

test("a DoRA adapter with a saved head, of a model in parts: the choice of one process, and its export", async () => {
  const dir = fixture.path("parts");
  const values = {
    ...{ ...recipe, use_peft: true, lora_r: 4, use_dora: true, lora_modules_to_save: ["lm_head"] },
    learning_rate: 5e-3,
  };
  const whole = await runTraining({ ...values, output_dir: fixture.path("alone") });
  const drift = Number(evaluationsOf(whole).at(-1)?.["eval_displacement/token_change_mean_abs"]) / 2;
  const rule = { max: "chosen", chosen_min: null, drift_max: drift, tail_min: null } as const;
  const auto = { ...values, shard: "all", final_scale: "auto", final_scale_rule: rule, output_dir: dir };
  const ends = await trainOnRanks(2, auto);
  const record = readScales(dir);
  const scale = Number(record?.choice?.scale);
  assert.ok(scale > 0.2 && scale < 0.8, String(scale));
  // the same numbers, answers and choice of one process that measures what the ranks have trained
  const scales = Array.from({ length: 11 }, (_, tenths) => tenths / 10);
  const alone = await measureScales({ run: dir, scales, choose: rule, device: "cpu", threads: 1 });
  assert.deepEqual(record, alone);
  const exported = join(dir, "adapter");
  assert.deepEqual(logits(exported), logits(`${join(dir, "whole", "adapter")}@scale=${scale}`));
  for (const { stdout } of ends) {
    const summary = JSON.parse(stdout.trim().split("\n").at(-1) ?? "");
    assert.deepEqual(summary.exported, [exported]);
  }
});

test("where no scale meets the bounds all ranks end with the sentence of rank 0, which keeps the whole", async () => {
  const dir = fixture.path("missed");
  const asked = { final_scale: "auto", final_scale_rule: { chosen_min: 100 }, output_dir: dir };
  const ends = await endsOfTraining(2, { ...recipe, use_peft: false, max_steps: 1, ...asked });
  for (const { status, stdout } of ends) {
    assert.equal(status, 2);
    assert.match(
      stdout,
      /rank 0 \(host .*\): final_scale: auto: no scale meets the bounds: the nearest is .*whole training is in /,
    );
  }
  assert.ok(existsSync(join(dir, "whole", "model")) && !existsSync(join(dir, "model")));
  assert.equal(readScales(dir), null);
});
