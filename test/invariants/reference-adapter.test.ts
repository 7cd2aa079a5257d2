/** What training begins from counts by what it is: another adapter at the same path has another reference, and another run. */
import assert from "node:assert/strict";
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { TrainingError } from "../../src/base/errors.ts";
import { modelFingerprint } from "../../src/formats/model-fingerprint.ts";
import { readSafetensorsHeader } from "../../src/formats/safetensors.ts";
import { runFixture, runTraining, type Values } from "../support/runs.ts";

const fixture = runFixture({ rows: 8, held: 2 });
after(() => fixture[Symbol.dispose]());

/** An adapter in `first`, trained at this rate. */
async function retrain(learning_rate: number): Promise<string> {
  const outputDir = fixture.path("first");
  rmSync(outputDir, { recursive: true, force: true });
  const lora = { use_peft: true, lora_dropout: 0 };
  await runTraining({
    ...fixture.values,
    ...lora,
    objective: "sft",
    learning_rate,
    max_steps: 2,
    output_dir: outputDir,
  });
  return join(outputDir, "adapter");
}

test("references kept of an adapter are not those of the one that lies there later", async () => {
  const values: Values = {
    ...{ ...fixture.values, objective: "dpo", use_peft: true, lora_dropout: 0, max_steps: 2 },
    ...{ save_steps: 1, logging_steps: 1 },
    adapter_name_or_path: await retrain(0.01),
    reference_cache_dir: fixture.path("references"),
  };
  const firstLoss = async (name: string) => {
    const { events } = await runTraining({ ...values, output_dir: fixture.path(name) });
    const step = events.find(({ type }) => type === "step");
    return step?.type === "step" ? step.loss : assert.fail();
  };
  // policy and reference are one at the first step
  assert.ok(Math.abs((await firstLoss("one")) - Math.LN2) < 1e-6);
  await retrain(0.2);
  assert.ok(Math.abs((await firstLoss("two")) - Math.LN2) < 1e-6);
  // the run of the first adapter is not continued with the second
  const again = { ...values, output_dir: fixture.path("one"), resume_from_checkpoint: "latest" };
  await assert.rejects(runTraining(again), {
    name: TrainingError.name,
    message:
      /began with something else: the weights or adapter_config\.json of adapter_name_or_path changed since/,
  });
});

/** A copy of the model at `from` in which one number of its weights is another, between two samples of the run's fingerprint. */
function withOtherNumber(from: string, to: string): string {
  cpSync(from, to, { recursive: true });
  const path = join(to, "model.safetensors");
  const { dataStart, fileBytes } = readSafetensorsHeader(path);
  const bytes = readFileSync(path);
  const [samples, sampleBytes] = [256, 4096];
  const stride = (fileBytes - dataStart - sampleBytes) / (samples - 1);
  assert.ok(stride > sampleBytes + 200, "the file was meant to be larger than its samples");
  const at = dataStart + 4 * Math.floor((stride + sampleBytes + 100) / 4);
  bytes.writeFloatLE(bytes.readFloatLE(at) + 1, at);
  writeFileSync(path, bytes);
  return to;
}

test("references kept of a base are not those of another, if only one number of its weights differs", async () => {
  using large = runFixture({ rows: 4, held: 0, config: { vocab_size: 20000 } });
  const base = String(large.values["model_name_or_path"]);
  const other = withOtherNumber(base, large.path("other"));
  assert.equal(modelFingerprint(other), modelFingerprint(base));
  const cache = large.path("references");
  const expected = [base, base, other].map((model, i) => ({ model, files: [1, 1, 2][i] }));
  for (const [i, { model, files }] of expected.entries()) {
    await runTraining({
      ...{ ...large.values, objective: "dpo", use_peft: true, precompute_ref_log_probs: true },
      ...{ max_steps: 1, save_strategy: "no", reference_cache_dir: cache },
      model_name_or_path: model,
      output_dir: large.path(`run-${i}`),
    });
    assert.equal(readdirSync(cache).length, files, model);
  }
});
