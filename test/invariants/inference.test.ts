/** Scoring, evaluation and reference passes cost what inference costs: no graph, no kept activations, no gradients. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Example } from "../../src/data/example.ts";
import { parseModelConfig } from "../../src/formats/hf-config.ts";
import { allCompletions, type MicroBatch, toDevice } from "../../src/forward/batch.ts";
import { hiddenStates, tokenLogpsHead } from "../../src/forward/head.ts";
import { scoreBatch } from "../../src/forward/score-batch.ts";
import { walk } from "../../src/forward/walk.ts";
import { dpo } from "../../src/methods/dpo/loss.ts";
import { buildModel } from "../../src/models/build.ts";
import type { CausalLM } from "../../src/models/causal-lm.ts";
import { randomWeights } from "../../src/models/weights.ts";
import {
  generatorState,
  liveTensorCount,
  manualSeed,
  noGrad,
  ops,
  scope,
  tensor,
} from "../../src/torch/index.ts";
import { dropoutKeys } from "../../src/train/dropout-keys.ts";
import { evaluate } from "../../src/train/evaluate.ts";
import { adapterParameters, modelParameters, trainAll } from "../../src/train/parameters.ts";
import { liveReference } from "../../src/train/reference.ts";
import { microBatch } from "../support/fixtures.ts";
import { memory, resetPeak } from "../support/memory.ts";
import {
  adaptPatterned,
  tinyAdapterConfig,
  tinyConfig,
  tinyModel,
  tinyNames,
} from "../support/tiny-models.ts";

function rowsOf(pairs: number, length: number, vocabulary: number): Example[] {
  const ids = (count: number, from: number) =>
    Array.from({ length: count }, (_, t) => (from + 7 * t) % vocabulary);
  return Array.from({ length: pairs }, (_, i) => ({
    origin: { file: "inference.test.ts", line: i + 1 },
    promptIds: ids(length, i),
    completions: [{ ids: ids(length, 3 + i) }, { ids: ids(length, 5 + i) }],
  }));
}

const numerics = { dtype: "float32", gradient_checkpointing: false, logits_chunk_size: null } as const;

/** The passes that compute no gradient, on a model whose parameters all ask for one. */
const passes: Record<string, (model: CausalLM, batch: MicroBatch) => void> = {
  score: (model, batch) => {
    scoreBatch(model, batch, numerics);
  },
  evaluation: (model, batch) => {
    const objective = dpo({ beta: 0.1, label_smoothing: 0, loss_type: "sigmoid" });
    const reference = ({ packed }: MicroBatch) => ({ referenceLogps: packed.spans.map(() => -1) });
    evaluate({ model, objective, numerics, reference }, [batch], batch.packed.examples);
  },
};

for (const name of tinyNames) {
  test(`${name}: no graph, no gradient, no random number, nothing left behind`, () => {
    using _ = scope();
    const model = tinyModel(name);
    const adapter = adaptPatterned(model, tinyAdapterConfig({ dropout: 0.5 }));
    const parameters = [...adapterParameters(model), ...modelParameters(model)];
    for (const { tensor } of parameters) tensor.requiresGrad = true;
    // as in the middle of a training step
    const batch = microBatch(rowsOf(3, 5, 32));
    const keys = dropoutKeys(batch, 1);
    const placed = tensor(keys, [2, keys.length / 2]);
    adapter.switch.dropoutKeys = placed;
    const before = { random: generatorState("cpu").toNumbers(), live: liveTensorCount() };
    const reference = liveReference(model, adapter, { numerics, ldAlpha: null });
    const state = [
      "reference",
      generatorState("cpu").toNumbers(),
      reference(batch)["referenceLogps"]?.length,
    ];
    assert.deepEqual(state, ["reference", before.random, 6]);
    adapter.switch.dropoutKeys = null;
    for (const pass of Object.values(passes)) pass(model, batch);
    assert.deepEqual(generatorState("cpu").toNumbers(), before.random);
    assert.ok(parameters.every(({ tensor }) => tensor.grad === null));
    // the generator's states that were asked for here
    assert.equal(liveTensorCount() - before.live, 2);
    const onDevice = toDevice(batch.packed, "cpu");
    const head = tokenLogpsHead(model, { ...numerics, entropies: true });
    const pass = walk(model, onDevice, head, { ...numerics, trained: null });
    const { logps, entropies, correct } = pass.head(allCompletions(onDevice));
    assert.deepEqual(
      [logps, entropies, correct].map((x) => x?.requiresGrad),
      [false, false, false],
    );
  });
}

test("a walk without training holds one stream of activations, whatever the depth", () => {
  const tensorsHeld = (layers: number, training: boolean) => {
    using _ = scope();
    const kinds = Array.from({ length: layers }, () => "full_attention");
    const config = { ...tinyConfig("qwen3"), num_hidden_layers: layers, layer_types: kinds };
    const model = buildModel(parseModelConfig(config, "config.json"), randomWeights(0.02, 1));
    const parameters = trainAll(model);
    const batch = toDevice(microBatch(rowsOf(2, 5, 32)).packed, "cpu");
    const before = liveTensorCount();
    walk(model, batch, hiddenStates, { ...numerics, trained: training ? parameters : null });
    return liveTensorCount() - before;
  };
  assert.equal(tensorsHeld(9, false), tensorsHeld(2, false));
  assert.ok(tensorsHeld(9, true) > tensorsHeld(2, true), "in training depth shows");
});

/** Bytes by which resident memory grows at most while `body` runs. */
function growth(body: () => void): number {
  const before = resetPeak();
  body();
  return memory("VmHWM") - before;
}

/** Whether this system lets a process reset its peak. */
function skipWithoutPeaks(): false | string {
  try {
    resetPeak();
    return false;
  } catch {
    return "the peak of resident memory can only be reset on Linux";
  }
}

test("memory of a pass is that of one block, not of all", { skip: skipWithoutPeaks() }, (t) => {
  using _ = scope();
  manualSeed(1);
  const shape = {
    ...tinyConfig("llama_tied"),
    num_hidden_layers: 12,
    hidden_size: 128,
    intermediate_size: 512,
    head_dim: 32,
    vocab_size: 4096,
  };
  const config = parseModelConfig(shape, "config.json");
  const model = buildModel(config, randomWeights(0.02, 1));
  const parameters = trainAll(model);
  const batch = microBatch(rowsOf(4, 250, 4096));
  const tokens = batch.packed.ids.length;
  const onDevice = toDevice(batch.packed, "cpu");
  // libraries set themselves up at their first use
  noGrad(() => ops.matmul(model.lm_head.weight, ops.t(model.lm_head.weight)));
  // the passes first: freed memory stays with the process and would hide theirs
  const grown = growth(() => {
    for (const pass of Object.values(passes)) pass(model, batch);
  });
  const inTraining = growth(() => {
    using _ = scope();
    walk(model, onDevice, hiddenStates, { ...numerics, trained: parameters });
  });
  t.diagnostic(
    [grown, inTraining].map((bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`).join(", in training "),
  );
  // a block's passing tensors, and the head's part of the logits with what entropies need
  const block = 4 * tokens * (3 * config.intermediateSize + 8 * config.hiddenSize);
  const head = 3 * 32 * 2 ** 20;
  const kept = 4 * tokens * (2 * config.intermediateSize + 4 * config.hiddenSize) * config.numLayers;
  assert.ok(grown < block + head, `grew by ${grown} bytes, expected at most ${block} + ${head}`);
  assert.ok(grown + inTraining > 0.8 * kept, `training grew by ${inTraining} bytes, it keeps ${kept}`);
});
