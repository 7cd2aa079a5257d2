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
  const phasesOf = async (values: Values): Promise<string[]> => {
    const dpo = { ...large.values, objective: "dpo", use_peft: true, precompute_ref_log_probs: true };
    const phases: string[] = [];
    const onPhase = (label: string, done: number, total: number | null): unknown =>
      phases.push(`${label} ${done}/${total}`);
    await runTraining({ ...dpo, max_steps: 1, save_strategy: "no", ...values }, { onPhase });
    return phases.filter((phase) => /^(weights|reference)/.test(phase));
  };
  const expected = [base, base, other].map((model, i) => ({ model, files: [1, 1, 2][i] }));
  for (const [i, { model, files }] of expected.entries()) {
    const run = { model_name_or_path: model, output_dir: large.path(`run-${i}`) };
    const [first, second] = await phasesOf({ ...run, reference_cache_dir: cache });
    assert.deepEqual([first, second], ["weights read 0/1", "weights read 1/1"]);
    assert.equal(readdirSync(cache).length, files, model);
  }
  // no other run's references lie in the run's own directory: the fingerprint tells, and nothing is read for it
  const [first = ""] = await phasesOf({ output_dir: large.path("alone") });
  assert.match(first, /^reference log-probs/);
});
