/** A run with averages in fewer bits: resumed it comes to the same bytes, and so does updating each weight in the backward pass. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, test } from "node:test";
import { ConfigError, TrainingError } from "../../src/base/errors.ts";
import { averagesBytes } from "../../src/formats/bits-and-bytes.ts";
import { readSafetensorsHeader } from "../../src/formats/safetensors.ts";
import {
  assertSameRun,
  checkpointOf,
  cutBack,
  filesOf,
  losses,
  runFixture,
  runTraining,
  type Values,
  wholeRuns,
} from "../support/runs.ts";

const steps = 8;
const fixture = runFixture({
  ...{ rows: 12, held: 0 },
  config: { ...{ hidden_size: 64, intermediate_size: 128 }, ...{ num_attention_heads: 4, head_dim: 16 } },
});
after(() => fixture[Symbol.dispose]());

const common: Values = {
  ...{ ...fixture.values, objective: "simpo", optim: "adamw_8bit", max_steps: steps },
  ...{ per_device_train_batch_size: 2, gradient_accumulation_steps: 2, learning_rate: 1e-3 },
  ...{ weight_decay: 0.1, save_steps: 1, logging_steps: 1 },
};
const recipes: Record<string, Values> = {
  "full tuning": common,
  "LoRA with a head trained in full": {
    ...{ ...common, use_peft: true, lora_r: 4, lora_modules_to_save: ["lm_head"] },
  },
};
recipes["full tuning, averages in bfloat16"] = { ...common, optim: "adamw_bf16" };
const uninterrupted = wholeRuns(fixture);

for (const [name, recipe] of Object.entries(recipes)) {
  test(`${name} resumed = uninterrupted, byte for byte`, async () => {
    const { dir } = await uninterrupted(recipe);
    const cut = cutBack(dir, fixture.path(`cut-${name}`), 3);
    const record = await runTraining({ ...recipe, output_dir: cut, resume_from_checkpoint: "latest" });
    assert.equal(losses(record).length, steps - 3);
    assertSameRun(cut, dir, steps);
  });
}

test("a checkpoint holds uint8 averages, some two bytes a weight", async () => {
  const { dir } = await uninterrupted(common);
  const path = join(checkpointOf(dir, steps), "optimizer.safetensors");
  const { tensors } = readSafetensorsHeader(path);
  const table = tensors.get("model.embed_tokens.weight.state1");
  assert.deepEqual([table?.dtype, table?.shape], ["U8", [264, 64]]);
  const bytes = [...tensors.values()].reduce(
    (sum, { name, begin, end }) => sum + (name.endsWith(".step") ? 0 : end - begin),
    0,
  );
  const weights = readSafetensorsHeader(join(checkpointOf(dir, steps), "model.safetensors")).tensors;
  const planned = [...weights.values()].map(({ shape }) =>
    averagesBytes(
      shape.reduce((a, b) => a * b, 1),
      8,
    ),
  );
  assert.equal(
    bytes,
    planned.reduce((a, b) => a + b, 0),
  );
  assert.equal(averagesBytes(4095, 8), 8 * 4095);
  assert.equal(averagesBytes(4097, 8), 2 * (4097 + 4 * 17));
});

test("optimizer_in_backward updates to the same bytes", async () => {
  const apart: Values = { ...common, gradient_accumulation_steps: 1, max_grad_norm: 0 };
  const [one, other] = [fixture.path("at-once"), fixture.path("in-backward")];
  await runTraining({ ...apart, output_dir: one });
  await runTraining({ ...apart, output_dir: other, optimizer_in_backward: true });
  for (const file of ["model.safetensors", "optimizer.safetensors"]) {
    assert.equal(filesOf(checkpointOf(other, steps))[file], filesOf(checkpointOf(one, steps))[file], file);
  }
});

test("parts of tensors on ranks are refused by name, and so is another optimiser on resuming", async () => {
  await assert.rejects(
    () => runTraining({ ...common, output_dir: fixture.path("sharded"), shard: "all" }),
    (error: unknown) => error instanceof ConfigError && /optim: adamw_8bit .* shard: all/.test(error.message),
  );
  const { dir } = await uninterrupted(common);
  const cut = cutBack(dir, fixture.path("other"), 3);
  await assert.rejects(
    () =>
      runTraining({
        ...common,
        ...{ output_dir: cut, optim: "adamw_torch_fused", resume_from_checkpoint: "latest" },
      }),
    (error: unknown) =>
      error instanceof TrainingError && /optim: "adamw_8bit", now "adamw_torch_fused"/.test(error.message),
  );
});
