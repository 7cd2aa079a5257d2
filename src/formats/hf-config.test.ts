/** Configurations of every family in both layouts, what transformers fills in, and what must be refused. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import fc from "fast-check";
import { families, fixturePath } from "../../test/support/fixture-files.ts";
import { gemma4b, gemma4bText, llama32, llama32Rope } from "../../test/support/sample-configs.ts";
import { FileError, FormatError } from "../base/errors.ts";
import { parseModelConfig, readModelConfig } from "./hf-config.ts";
import { contextLength, type ModelConfig } from "./model-config.ts";

function parse(json: unknown): ModelConfig {
  return parseModelConfig(json, "config.json");
}

/** What makes it a reward model's file. */
const rewardModel = { architectures: ["LlamaForSequenceClassification"] };

/** Without the parts in which two layouts of one model differ. */
function comparable(config: ModelConfig): Partial<ModelConfig> {
  const { raw: _raw, dtype: _dtype, ...rest } = config;
  return rest;
}

describe("what is read", () => {
  test("Llama 3.2", () => {
    assert.deepEqual(comparable(parse(llama32)), {
      family: "llama",
      modelType: "llama",
      vocabSize: 128256,
      hiddenSize: 3072,
      intermediateSize: 8192,
      numLayers: 28,
      numHeads: 24,
      numKeyValueHeads: 8,
      headDim: 128,
      rmsNormEps: 1e-5,
      maxPositions: 131072,
      tieWordEmbeddings: true,
      attentionBias: false,
      mlpBias: false,
      rope: {
        full: {
          theta: 500000,
          scaling: {
            kind: "llama3",
            factor: 32,
            lowFreqFactor: 1,
            highFreqFactor: 4,
            originalMaxPositions: 8192,
          },
        },
        sliding: null,
      },
      layerKinds: Array(28).fill("full"),
      slidingWindow: null,
      attentionScale: 128 ** -0.5,
      bosTokenId: 128000,
      eosTokenIds: [128001, 128008, 128009],
      padTokenId: null,
      isRewardModel: false,
      isMultimodalText: false,
    });
    assert.equal(parse(llama32).dtype, "bfloat16");
  });

  test("reward models of every family, with one label", () => {
    const read = (json: Record<string, unknown>) => {
      const { family, isRewardModel } = parse({ ...json, id2label: { 0: "LABEL_0" } });
      return [family, isRewardModel];
    };
    assert.deepEqual(read({ ...llama32, ...rewardModel }), ["llama", true]);
    const qwen = { model_type: "qwen3", architectures: ["Qwen3ForSequenceClassification"] };
    assert.deepEqual(read(qwen), ["qwen3", true]);
    const gemma = { ...gemma4bText, architectures: ["Gemma3TextForSequenceClassification"] };
    assert.deepEqual(read(gemma), ["gemma3", true]);
    const multimodal = { ...gemma4b, architectures: ["Gemma3ForSequenceClassification"] };
    assert.deepEqual(read(multimodal), ["gemma3", true]);
    assert.equal(parse({ ...llama32, ...rewardModel, num_labels: 1 }).isRewardModel, true);
  });

  test("Gemma 3 4B, whose hub file leaves most to the class", () => {
    const config = parse(gemma4b);
    assert.equal(config.isMultimodalText, true);
    assert.equal(config.modelType, "gemma3_text");
    assert.deepEqual([config.numHeads, config.numKeyValueHeads, config.headDim], [8, 4, 256]);
    assert.deepEqual([config.vocabSize, config.maxPositions, config.rmsNormEps], [262208, 131072, 1e-6]);
    assert.equal(config.tieWordEmbeddings, true);
    assert.equal(config.attentionScale, 1 / 16);
    assert.equal(config.slidingWindow, 1024);
    assert.deepEqual(config.rope, {
      full: { theta: 1_000_000, scaling: { kind: "linear", factor: 8 } },
      sliding: { theta: 10_000, scaling: { kind: "none" } },
    });
    // Every sixth layer is full: 5, 11, 17, 23, 29.
    const full = config.layerKinds.flatMap((kind, i) => (kind === "full" ? [i] : []));
    assert.deepEqual(full, [5, 11, 17, 23, 29]);
    assert.deepEqual([config.bosTokenId, config.eosTokenIds, config.padTokenId], [2, [1, 106], 0]);
    assert.equal(config.dtype, "bfloat16");
    assert.deepEqual(config.raw, gemma4bText);
  });

  test("class defaults of Llama and Qwen3", () => {
    const llama = parse({ model_type: "llama", num_attention_heads: 16, num_key_value_heads: null });
    assert.deepEqual([llama.headDim, llama.numKeyValueHeads, llama.vocabSize], [256, 16, 32000]);
    assert.deepEqual([llama.bosTokenId, llama.eosTokenIds, llama.padTokenId], [1, [2], null]);
    assert.equal(llama.rope.full.theta, 10_000);
    assert.equal(llama.tieWordEmbeddings, false);
    const qwen = parse({ architectures: ["Qwen3ForCausalLM"] });
    assert.deepEqual([qwen.headDim, qwen.numKeyValueHeads, qwen.vocabSize], [128, 32, 151936]);
    assert.deepEqual([qwen.bosTokenId, qwen.eosTokenIds, qwen.tieWordEmbeddings], [null, [], false]);
    assert.equal(qwen.dtype, "float32");
  });

  test("patterns of sliding layers, old and new spelling", () => {
    const gemma = { model_type: "gemma3_text", num_hidden_layers: 4 };
    assert.deepEqual(parse({ ...gemma, sliding_window_pattern: 2 }).layerKinds, [
      "sliding",
      "full",
      "sliding",
      "full",
    ]);
    assert.deepEqual(parse({ ...gemma, _sliding_window_pattern: 3 }).layerKinds, [
      "sliding",
      "sliding",
      "full",
      "sliding",
    ]);
    const allFull = parse({ ...gemma, layer_types: Array(4).fill("full_attention") });
    assert.equal(allFull.slidingWindow, null);
  });

  test("the context is what the model was stretched to", () => {
    // Vicuna's long form: 4096 positions, stretched by 4. The others' files name the stretched length.
    const linear = parse({
      ...llama32,
      max_position_embeddings: 4096,
      rope_scaling: { type: "linear", factor: 4 },
    });
    const contexts = [linear, parse(llama32), parse(gemma4b)].map(contextLength);
    assert.deepEqual(contexts, [16384, 131072, 131072]);
  });

  test("old type keys and old markers for no token", () => {
    const config = parse({
      ...llama32,
      rope_scaling: { type: "linear", factor: 2 },
      pad_token_id: -1,
      torch_dtype: "torch.float16",
    });
    assert.deepEqual(config.rope.full.scaling, { kind: "linear", factor: 2 });
    assert.equal(config.padTokenId, null);
    assert.equal(config.dtype, "float16");
  });

  for (const model of families) {
    test(`both layouts of ${model}`, () => {
      const old = readModelConfig(fixturePath(model, "model"));
      const recent = readModelConfig(fixturePath(model, "config_transformers5"));
      assert.deepEqual(comparable(old), comparable(recent));
      assert.equal(old.tieWordEmbeddings, model !== "llama_untied");
      assert.equal(old.vocabSize, 512);
      assert.equal(old.dtype, "float32");
    });
  }

  test("generation_config.json adds end tokens", () => {
    const dir = mkdtempSync(join(tmpdir(), "preftune-config-"));
    try {
      assert.throws(() => readModelConfig(dir), FileError);
      writeFileSync(join(dir, "config.json"), JSON.stringify({ ...llama32, eos_token_id: 5 }));
      assert.deepEqual(readModelConfig(dir).eosTokenIds, [5]);
      writeFileSync(join(dir, "generation_config.json"), '{"eos_token_id": [7, 5]}');
      assert.deepEqual(readModelConfig(dir).eosTokenIds, [5, 7]);
      writeFileSync(join(dir, "generation_config.json"), '{"eos_token_id": 9}');
      assert.deepEqual(readModelConfig(dir).eosTokenIds, [5, 9]);
      writeFileSync(join(dir, "generation_config.json"), "[]");
      assert.throws(() => readModelConfig(dir), /generation_config\.json: expected a JSON object/);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});

describe("what is refused", () => {
  const gemma = { model_type: "gemma3_text", num_hidden_layers: 2 };
  const cases: [string, unknown, RegExp][] = [
    ["not an object", [1], /config\.json: expected a JSON object/],
    ["no model type", {}, /model_type: expected one of llama, qwen3, gemma3_text, gemma3, got nothing/],
    [
      "unknown model type",
      { model_type: "lama" },
      /got "lama"\. Did you mean "llama"\? Use a Llama, Qwen3 or Gemma 3/,
    ],
    ["inherited name", { model_type: "constructor" }, /got "constructor"/],
    [
      "a classifier",
      { ...llama32, architectures: ["LlamaForTokenClassification"] },
      /got "LlamaForTokenClassification".*language-model head/,
    ],
    [
      "a classifier with three labels",
      { ...llama32, ...rewardModel, id2label: { 0: "a", 1: "b", 2: "c" } },
      /id2label: expected one label, since a reward model has one output.*"c"/,
    ],
    [
      "a classifier without labels, which has two",
      { ...llama32, ...rewardModel },
      /id2label: expected one label/,
    ],
    [
      "two labels, counted",
      { ...llama32, ...rewardModel, num_labels: 2 },
      /num_labels: expected one label.*got 2/,
    ],
    [
      "a reward model of another family",
      { ...llama32, architectures: ["Qwen3ForSequenceClassification"], num_labels: 1 },
      /contradict each other/,
    ],
    ["contradiction", { ...llama32, architectures: ["Qwen3ForCausalLM"] }, /contradict each other/],
    [
      "quantised",
      { ...llama32, quantization_config: { bits: 4 } },
      /quantization_config: expected unquantised weights, got \{"bits":4\}.*dequantize/,
    ],
    [
      "quantised text part",
      { ...gemma4b, text_config: { quantization_config: {} } },
      /text_config\.quantization_config/,
    ],
    ["no text part", { model_type: "gemma3" }, /text_config: expected the text model's configuration/],
    [
      "yarn",
      { ...llama32, rope_scaling: { rope_type: "yarn", factor: 4 } },
      /rope_scaling\.rope_type: expected one of default, linear, llama3, got "yarn"/,
    ],
    [
      "longrope, old key",
      { ...llama32, rope_scaling: { type: "longrope" } },
      /rope_scaling\.type: .* got "longrope"/,
    ],
    [
      "dynamic in the new layout",
      { model_type: "qwen3", rope_parameters: { rope_type: "dynamic" } },
      /rope_parameters\.rope_type: .*"dynamic"/,
    ],
    ["slip of the pen", { ...llama32, rope_scaling: { rope_type: "lama3" } }, /Did you mean "llama3"\?/],
    [
      "linear without factor",
      { ...llama32, rope_scaling: { rope_type: "linear" } },
      /rope_scaling\.factor: expected a number above 0, got nothing/,
    ],
    [
      "llama3 factors crossed",
      { ...llama32, rope_scaling: { ...llama32Rope, high_freq_factor: 1 } },
      /high_freq_factor: expected a number above low_freq_factor \(1\)/,
    ],
    ["partial rotary", { ...llama32, partial_rotary_factor: 0.5 }, /partial_rotary_factor: expected 1/],
    [
      "partial rotary in the new layout",
      { model_type: "llama", rope_parameters: { partial_rotary_factor: 0.5 } },
      /rope_parameters\.partial_rotary_factor/,
    ],
    [
      "Gemma rope without layer types",
      { ...gemma, rope_parameters: { rope_theta: 1 } },
      /rope_parameters: expected an entry for each/,
    ],
    [
      "sliding Qwen3",
      { model_type: "qwen3", use_sliding_window: true },
      /use_sliding_window: expected false \(sliding-window Qwen3 is unsupported\), got true/,
    ],
    [
      "sliding layers in Qwen3",
      { model_type: "qwen3", num_hidden_layers: 1, layer_types: ["sliding_attention"] },
      /full_attention throughout/,
    ],
    [
      "unknown layer type",
      { ...gemma, layer_types: ["full_attention", "linear_attention"] },
      /layer_types: expected 2 entries of full_attention or sliding_attention/,
    ],
    ["too few layer types", { ...gemma, layer_types: ["full_attention"] }, /layer_types: expected 2 entries/],
    [
      "attention soft-capping",
      { ...gemma, attn_logit_softcapping: 50 },
      /attn_logit_softcapping: expected null/,
    ],
    [
      "logit soft-capping",
      { ...gemma, final_logit_softcapping: 30 },
      /final_logit_softcapping: expected null/,
    ],
    [
      "bidirectional Gemma",
      { ...gemma, use_bidirectional_attention: true },
      /use_bidirectional_attention: expected false/,
    ],
    ["other activation", { ...llama32, hidden_act: "gelu" }, /hidden_act: expected "silu", got "gelu"/],
    [
      "other Gemma activation",
      { ...gemma, hidden_activation: "silu" },
      /hidden_activation: expected "gelu_pytorch_tanh"/,
    ],
    [
      "fp8 weights",
      { ...llama32, torch_dtype: "float8_e4m3fn" },
      /torch_dtype: expected one of float32, float16, bfloat16/,
    ],
    [
      "no layers",
      { ...llama32, num_hidden_layers: 0 },
      /num_hidden_layers: expected an integer from 1 to 1024, got 0/,
    ],
    ["broken size", { ...llama32, hidden_size: 64.5 }, /hidden_size: expected an integer/],
    [
      "size as text",
      { ...llama32, vocab_size: "512" },
      /vocab_size: expected an integer from 1 to \d+, got "512"/,
    ],
    ["absurd size", { ...llama32, vocab_size: 1e12 }, /vocab_size: expected an integer/],
    ["absurd depth", { ...llama32, num_hidden_layers: 1e9 }, /num_hidden_layers/],
    [
      "heads do not divide",
      { ...llama32, num_key_value_heads: 7 },
      /num_key_value_heads: expected a divisor of num_attention_heads \(24\), got 7/,
    ],
    [
      "no head size",
      { model_type: "llama", hidden_size: 100, num_attention_heads: 3 },
      /num_attention_heads: expected a divisor of hidden_size \(100\)/,
    ],
    ["odd head size", { ...llama32, head_dim: 127 }, /head_dim: expected an even number/],
    ["epsilon 0", { ...llama32, rms_norm_eps: 0 }, /rms_norm_eps: expected a number above 0/],
    [
      "bias as text",
      { ...llama32, attention_bias: "no" },
      /attention_bias: expected true or false, got "no"/,
    ],
    [
      "end token as text",
      { ...llama32, eos_token_id: ["</s>"] },
      /eos_token_id: expected a token id or a list of them/,
    ],
    ["rope not an object", { ...llama32, rope_scaling: "llama3" }, /rope_scaling: expected an object/],
  ];
  for (const [name, json, message] of cases) {
    test(name, () => {
      assert.throws(
        () => parse(json),
        (error: unknown) => {
          assert(error instanceof FormatError, String(error));
          assert.match(error.message, message);
          return true;
        },
      );
    });
  }

  test("any value in any field gives a configuration or a FormatError", () => {
    const keys = fc.constantFrom(...Object.keys(llama32), "rope_parameters", "layer_types", "text_config");
    fc.assert(
      fc.property(
        keys,
        fc.jsonValue(),
        fc.constantFrom("llama", "qwen3", "gemma3_text"),
        (key, value, type) => {
          try {
            const config = parse({ ...llama32, architectures: null, model_type: type, [key]: value });
            assert.equal(config.layerKinds.length, config.numLayers);
            assert(Number.isFinite(config.attentionScale));
          } catch (error) {
            assert(error instanceof FormatError, String(error));
          }
        },
      ),
      { numRuns: 1000 },
    );
  });
});
