/**
 * An embedding that stays in the computer's memory on a GPU, or on the rehearsal device (docs/rehearsal.md): the same numbers as with it
 * there, from steps, runs, answers and exports, and no waiting.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { ConfigError } from "../../src/base/errors.ts";
import { loadModel } from "../../src/models/load.ts";
import { ops, scope } from "../../src/torch/index.ts";
import { amount } from "../support/campaign.ts";
import { assertClose } from "../support/close.ts";
import { openGpu } from "../support/gpu.ts";
import { assertQuietStep, type GpuSetup, stepOn, trainingOn } from "../support/gpu-training.ts";
import { evaluationsOf, losses, runFixture, runTraining, type Values } from "../support/runs.ts";
import { stateHash } from "../support/tiny-training.ts";

const { device, skip, rehearsal } = await openGpu();
rehearsal?.setLateness(1, 0);
const fixture = runFixture({ rows: 9, held: 30, family: "llama_untied" });
const tied = runFixture({ rows: 3, held: 0, family: "llama_tied" });
after(() => {
  for (const one of [fixture, tied]) one[Symbol.dispose]();
  assert.deepEqual(rehearsal?.faults() ?? [], []);
});

const setup: GpuSetup = {
  ...{ name: "llama_untied", trains: "LoRA", dtype: "bfloat16", gradient_checkpointing: true },
};

test("steps come to the same bits, and wait once", { skip }, () => {
  const stepped = (isOffloaded: boolean) => {
    using _ = scope();
    const training = trainingOn(device, setup);
    const { embed_tokens } = training.model.model;
    if (isOffloaded) embed_tokens.weight = ops.to(embed_tokens.weight, "cpu", "bfloat16");
    const first = stepOn(training).loss;
    rehearsal?.counts();
    const second = stepOn(training).loss;
    const counts = rehearsal?.counts();
    if (counts !== undefined) assertQuietStep(counts);
    return [first, second, stateHash(training)];
  };
  assert.deepEqual(stepped(true), stepped(false));
});

function untimed(rows: readonly object[]): object[] {
  return rows.map((row) =>
    Object.fromEntries(Object.entries(row).filter(([name]) => !/seconds|runtime/.test(name))),
  );
}

const lora: Values = {
  ...fixture.values,
  ...{ device: "auto", dtype: "float32", objective: "slime", learning_rate: 5e-3 },
  ...{ use_peft: true, lora_r: 4, lora_alpha: 8, export_merged: true },
  ...{ max_steps: 2, per_device_train_batch_size: 3, eval_steps: 2, per_device_eval_batch_size: 30 },
  ...{ watch_prompts: "eval", watch_rows: 1, watch_samples: 2, watch_max_new_tokens: 8 },
};

test("a run is that of the model with its embedding on the device: trained, watched, scaled, exported", {
  skip,
}, async () => {
  const runOf = (name: string, changes: Values) =>
    runTraining({ ...lora, output_dir: fixture.path(name), ...changes });
  const cases: Values[] = [{ load_in_4bit: true }, { final_scale: "auto" }];
  for (const held of cases.slice(0, amount(1, 2))) {
    const [name] = Object.keys(held);
    const want = await runOf(`${name}-there`, held);
    const got = await runOf(`${name}-away`, { ...held, offload_embedding: true });
    if (rehearsal === null) assertClose(losses(got), losses(want), { rtol: 0.02 });
    else {
      assert.deepEqual(losses(got), losses(want));
      assert.deepEqual(untimed(evaluationsOf(got)), untimed(evaluationsOf(want)));
    }
  }
});

test("refused: a head that is the same matrix, an embedding that is trained", { skip }, async () => {
  const refused = (changes: Values, reason: RegExp) =>
    assert.rejects(
      runTraining({ ...lora, output_dir: fixture.path("refused"), offload_embedding: true, ...changes }),
      (error: unknown) => error instanceof ConfigError && reason.test(error.message),
    );
  const { model_name_or_path } = tied.values;
  await refused({ model_name_or_path }, /one matrix for embedding and head .*Leave it out\.$/);
  assert.throws(
    () => loadModel(`${model_name_or_path}`, { device, offload_embedding: true }),
    /tie_word_embeddings/,
  );
  await runTraining({
    ...{ ...lora, output_dir: fixture.path("trained"), max_steps: 1 },
    ...{ lora_modules_to_save: ["embed_tokens"], export_merged: false },
  });
  await refused(
    { adapter_name_or_path: fixture.path("trained", "adapter"), lora_r: undefined, lora_alpha: undefined },
    /adapter trains the embedding, on the device/,
  );
});
