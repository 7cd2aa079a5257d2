/** The planner's parameter counts against three others: published totals, models built without data, and files' headers. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { parseModelConfig, readModelConfig } from "../../src/formats/hf-config.ts";
import type { ModelConfig } from "../../src/formats/model-config.ts";
import { readSafetensorsHeader } from "../../src/formats/safetensors.ts";
import { buildModel } from "../../src/models/build.ts";
import { metaWeights } from "../../src/models/weights.ts";
import { countParameters, trainedTensors } from "../../src/planner/parameter-counts.ts";
import { adapterParts, everything } from "../../src/planner/trained-parts.ts";
import { noGrad, scope } from "../../src/torch/index.ts";
import { adapterParameters, modelParameters, trainAll } from "../../src/train/parameters.ts";
import { everyFamily, fixturePath } from "../support/fixture-files.ts";
import { fixtureAdapted, fixtureModel } from "../support/fixtures.ts";
import { requireShared, skipWithoutShared } from "../support/shared.ts";
import {
  adaptPatterned,
  tinyAdapterConfig,
  tinyConfig,
  tinyModel,
  tinyNames,
} from "../support/tiny-models.ts";

type Sizes = [layers: number, width: number, inner: number, heads: number, keys: number, vocabulary: number];

function config(
  type: "llama" | "qwen3" | "gemma3_text",
  sizes: Sizes,
  tied: boolean,
  headDim?: number,
): ModelConfig {
  const [layers, width, inner, heads, keys, vocabulary] = sizes;
  const json = {
    model_type: type,
    num_hidden_layers: layers,
    hidden_size: width,
    intermediate_size: inner,
    num_attention_heads: heads,
    num_key_value_heads: keys,
    vocab_size: vocabulary,
    tie_word_embeddings: tied,
    ...(headDim === undefined ? {} : { head_dim: headDim }),
  };
  return parseModelConfig(json, "config.json");
}

/** Parameters of the checkpoints as their makers publish them, by the sizes in their config.json. */
const published: [string, ModelConfig, number][] = [
  ["Llama 3.2 1B", config("llama", [16, 2048, 8192, 32, 8, 128_256], true, 64), 1_235_814_400],
  ["Llama 3.2 3B", config("llama", [28, 3072, 8192, 24, 8, 128_256], true, 128), 3_212_749_824],
  ["Llama 3.1 8B", config("llama", [32, 4096, 14_336, 32, 8, 128_256], false), 8_030_261_248],
  ["Llama 3.1 70B", config("llama", [80, 8192, 28_672, 64, 8, 128_256], false), 70_553_706_496],
  ["Qwen3 0.6B", config("qwen3", [28, 1024, 3072, 16, 8, 151_936], true, 128), 596_049_920],
  ["Qwen3 4B", config("qwen3", [36, 2560, 9728, 32, 8, 151_936], true, 128), 4_022_468_096],
  ["Qwen3 8B", config("qwen3", [36, 4096, 12_288, 32, 8, 151_936], false, 128), 8_190_735_360],
  ["Gemma 3 1B", config("gemma3_text", [26, 1152, 6912, 4, 1, 262_144], true, 256), 999_885_952],
];

for (const [name, model, total] of published) {
  test(`${name}: the published number of parameters, and that of the model built without data`, () => {
    const counts = countParameters(model, everything);
    assert.equal(counts.total, total);
    assert.equal(counts.trained, total);
    using _ = scope();
    const built = noGrad(() => modelParameters(buildModel(model, metaWeights())));
    assert.equal(
      built.reduce((sum, { tensor }) => sum + tensor.numel, 0),
      total,
    );
  });
}

for (const name of tinyNames) {
  test(`${name}: every parameter, and every one an adapter adds`, () => {
    using _ = scope();
    const count = (tensors: readonly { tensor: { numel: number } }[]) =>
      tensors.reduce((sum, { tensor }) => sum + tensor.numel, 0);
    const settings = {
      modulesToSave: ["lm_head", "embed_tokens"],
      useDora: true,
      rankPattern: { v_proj: 2, "layers.0.mlp.down_proj": 7 },
    };
    const model = tinyModel(name);
    const total = count(modelParameters(model));
    const adapter = tinyAdapterConfig(settings);
    adaptPatterned(model, adapter);
    const shape = parseModelConfig(tinyConfig(name), "config.json");
    const counts = countParameters(shape, adapterParts(shape, adapter));
    assert.equal(counts.total, total);
    const parts = adapterParts(shape, adapter);
    const sizes = (tensors: Iterable<{ tensor: { numel: number } }>) =>
      [...tensors].map(({ tensor }) => tensor.numel).toSorted((a, b) => a - b);
    const sorted = (numbers: number[]) => numbers.toSorted((a, b) => a - b);
    assert.equal(counts.trained, adapterParameters(model).numel);
    assert.deepEqual(sorted(trainedTensors(shape, parts)), sizes(adapterParameters(model)));
    assert.deepEqual(sorted(trainedTensors(shape, everything)), sizes(modelParameters(tinyModel(name))));
    assert.equal(counts.savedCopies, 2 * shape.vocabSize * shape.hiddenSize);
  });
}

/** Sizes of published models of other families, and their totals as their makers publish them. */
const publishedFamilies: [string, Record<string, unknown>, number][] = [
  [
    "Qwen2.5 7B",
    {
      ...{ model_type: "qwen2", num_hidden_layers: 28, hidden_size: 3584, intermediate_size: 18_944 },
      ...{ num_attention_heads: 28, num_key_value_heads: 4, vocab_size: 152_064, tie_word_embeddings: false },
    },
    7_615_616_512,
  ],
  [
    "Mistral 7B",
    {
      ...{ model_type: "mistral", num_hidden_layers: 32, hidden_size: 4096, intermediate_size: 14_336 },
      ...{ num_attention_heads: 32, num_key_value_heads: 8, vocab_size: 32_000, tie_word_embeddings: false },
    },
    7_241_732_096,
  ],
  [
    "Phi-3-mini",
    {
      ...{ model_type: "phi3", num_hidden_layers: 32, hidden_size: 3072, intermediate_size: 8192 },
      ...{ num_attention_heads: 32, num_key_value_heads: 32, vocab_size: 32_064 },
    },
    3_821_079_552,
  ],
  [
    "Gemma 2 2B",
    {
      ...{ model_type: "gemma2", num_hidden_layers: 26, hidden_size: 2304, intermediate_size: 9216 },
      ...{ num_attention_heads: 8, num_key_value_heads: 4, head_dim: 256, vocab_size: 256_000 },
    },
    2_614_341_888,
  ],
  [
    "SmolLM3 3B",
    {
      ...{ model_type: "smollm3", num_hidden_layers: 36, hidden_size: 2048, intermediate_size: 11_008 },
      ...{ num_attention_heads: 16, num_key_value_heads: 4, vocab_size: 128_256 },
    },
    3_075_098_624,
  ],
];

for (const [name, json, total] of publishedFamilies) {
  test(`${name}: the published number of parameters`, () => {
    assert.equal(countParameters(parseModelConfig(json, "config.json"), everything).total, total);
  });
}

for (const family of everyFamily) {
  test(`${family}: every parameter of its fixture, and every one of its adapter`, () => {
    using _ = scope();
    const count = (tensors: readonly { tensor: { numel: number } }[]) =>
      tensors.reduce((sum, { tensor }) => sum + tensor.numel, 0);
    const shape = readModelConfig(fixturePath(family, "model"));
    const whole = countParameters(shape, everything);
    const plain = fixtureModel(family);
    assert.deepEqual([whole.total, whole.trained], [count(modelParameters(plain)), trainAll(plain).numel]);
    const { model, adapter } = fixtureAdapted(family);
    const parts = adapterParts(shape, adapter.config);
    assert.equal(countParameters(shape, parts).trained, adapterParameters(model).numel);
  });
}

test("a real checkpoint's tensors", { skip: skipWithoutShared("models", "stories260K") }, () => {
  const dir = requireShared("models", "stories260K");
  const file = readSafetensorsHeader(join(dir, "model.safetensors"));
  const stored = [...file.tensors.values()].reduce(
    (sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1),
    0,
  );
  assert.equal(countParameters(readModelConfig(dir), everything).total, stored);
});

test("a real config.json alone", { skip: skipWithoutShared("models", "SmolLM2-135M-Instruct-Q4_1") }, () => {
  const model = readModelConfig(requireShared("models", "SmolLM2-135M-Instruct-Q4_1"));
  assert.equal(countParameters(model, everything).total, 134_515_008);
});

test("targets that are not there are refused with the names there are", () => {
  const model = config("llama", [2, 8, 16, 2, 1, 32], true);
  const adapter = {
    rank: 4,
    targetModules: ["query"],
    modulesToSave: [],
    rankPattern: {},
    dropout: 0,
    useDora: false,
  };
  assert.throws(() => adapterParts(model, adapter), /matches no linear.*q_proj/);
  const head = { ...adapter, targetModules: ["q_proj", "lm_head"] };
  assert.throws(() => adapterParts(model, head), /lm_head cannot be a LoRA target/);
  const saved = { ...adapter, targetModules: ["q_proj"], modulesToSave: ["lm_heed"] };
  assert.throws(() => adapterParts(model, saved), /"lm_heed".*Did you mean "lm_head"/);
});
