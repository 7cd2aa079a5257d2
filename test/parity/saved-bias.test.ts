/** Modules with a bias that are trained in full beside LoRA, against PEFT's `modules_to_save` (scripts/write-saved-bias.py). */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { readAdapter } from "../../src/formats/adapter.ts";
import { scaledPlace } from "../../src/formats/adapter-scale.ts";
import { readSafetensorsHeader } from "../../src/formats/safetensors.ts";
import { scoreBatch } from "../../src/forward/score-batch.ts";
import { sft } from "../../src/methods/sft/loss.ts";
import type { CausalLM } from "../../src/models/causal-lm.ts";
import { loadModel } from "../../src/models/load.ts";
import { installAdapter } from "../../src/models/load-adapter.ts";
import { writeAdapter, writeMergedModel } from "../../src/models/save.ts";
import { namedTensors } from "../../src/nn/module.ts";
import { countParameters, trainedTensors } from "../../src/planner/parameter-counts.ts";
import { adapterParts } from "../../src/planner/trained-parts.ts";
import { ops } from "../../src/torch/index.ts";
import { adapterParameters } from "../../src/train/parameters.ts";
import { assertClose, withoutLeaks } from "../support/close.ts";
import { fixtureExamples, fixturePath } from "../support/fixture-files.ts";
import { fixtureModel, microBatch } from "../support/fixtures.ts";
import { plainNumerics as plain, recordStep } from "../support/record-step.ts";
import { logitsOf, temporaryDirectory } from "../support/tiny-models.ts";

interface Goldens {
  trainable: number;
  nll: number;
  logps: Record<"whole" | "half" | "merged", number[][]>;
  gradients: Record<string, [norm: number, first: number[]]>;
  merged_biases: Record<string, number[]>;
}

const base = fixturePath("qwen2_tied", "model");
const dir = fixturePath("qwen2_tied", "saved_bias");
const golden = JSON.parse(readFileSync(join(dir, "goldens.json"), "utf8")) as Goldens;
/** The chosen answers alone. */
const answers = fixtureExamples("qwen2_tied").map((example) => ({
  ...example,
  completions: example.completions.slice(0, 1),
}));

function assertLogps(model: CausalLM, want: readonly (readonly number[])[]): void {
  for (const { index, logps } of scoreBatch(model, microBatch(answers), plain))
    assertClose([...logps], [...(want[index] ?? assert.fail())], { atol: 2e-5 });
}

test("log-probs with the adapter, at half of it, and with it off", () => {
  withoutLeaks(() => {
    assertLogps(loadModel(base, { adapter: dir }), golden.logps.whole);
    assertLogps(loadModel(base, { adapter: scaledPlace(dir, 0.5) }), golden.logps.half);
    const model = fixtureModel("qwen2_tied");
    const start = logitsOf(model, [1, 9, 30]);
    const adapter = installAdapter(model, readAdapter(dir));
    assert.notDeepEqual(logitsOf(model, [1, 9, 30]), start);
    adapter.switch.enabled = false;
    assert.deepEqual(logitsOf(model, [1, 9, 30]), start);
  });
});

test("gradients of weights and biases", () => {
  withoutLeaks(() => {
    const model = fixtureModel("qwen2_tied");
    const adapter = installAdapter(model, readAdapter(dir));
    const got = recordStep(model, adapterParameters(model), {
      objective: sft(),
      batches: [microBatch(answers)],
      adapter,
    });
    assertClose(got.loss, golden.nll, { rtol: 1e-5 });
    assert.deepEqual([...got.grads.keys()].sort(), Object.keys(golden.gradients).sort());
    for (const [name, [norm, first]] of Object.entries(golden.gradients)) {
      const grad = [...(got.grads.get(name) ?? [])];
      assertClose(Math.hypot(...grad), norm, { rtol: 1e-4, atol: 1e-7 });
      assertClose(grad.slice(0, first.length), first, { atol: 1e-4 * Math.max(norm, 1e-6) });
    }
  });
});

test("what is written: PEFT's names and numbers, and a merged model with the trained biases", () => {
  using place = temporaryDirectory();
  withoutLeaks(() => {
    const model = fixtureModel("qwen2_tied");
    const { config } = installAdapter(model, readAdapter(dir));
    const parameters = adapterParameters(model);
    writeAdapter(place.path, config, parameters.tensors);
    const shapesIn = (from: string) =>
      [...readSafetensorsHeader(join(from, "adapter_model.safetensors")).tensors.values()]
        .map(({ name, shape }) => `${name} ${shape}`)
        .sort();
    assert.deepEqual(shapesIn(place.path), shapesIn(dir));
    assertLogps(loadModel(base, { adapter: place.path }), golden.logps.whole);
    const merged = join(place.path, "merged");
    mkdirSync(merged);
    writeMergedModel(merged, model, "float32");
    const loaded = loadModel(merged);
    assertLogps(loaded, golden.logps.merged);
    const tensors = new Map(namedTensors(loaded));
    for (const [name, first] of Object.entries(golden.merged_biases)) {
      const bias = tensors.get(name) ?? assert.fail(name);
      assertClose(ops.narrow(bias, 0, 0, first.length).toNumbers(), first, { atol: 1e-6 });
    }
  });
});

test("the planner counts the biases", () => {
  withoutLeaks(() => {
    const { config } = fixtureModel("qwen2_tied");
    const parts = adapterParts(config, { ...readAdapter(dir).config, dropout: 0 });
    assert.equal(countParameters(config, parts).trained, golden.trainable);
    assert.equal(
      trainedTensors(config, parts).reduce((sum, count) => sum + count, 0),
      golden.trainable,
    );
  });
});
