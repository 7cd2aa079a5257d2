/** Configurations of every family in both layouts and what transformers fills in. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { everyFamily, fixturePath } from "../../test/support/fixture-files.ts";
import { multimodalConfig, multimodalLayout, multimodalNames } from "../../test/support/multimodal.ts";
import { gemma4b, gemma4bText, llama32 } from "../../test/support/sample-configs.ts";
import { FileError } from "../base/errors.ts";
import { plainDesign } from "./families/family.ts";
import { parseModelConfig, readModelConfig } from "./hf-config.ts";
import { contextLength, type ModelConfig } from "./model-config.ts";

function parse(json: unknown): ModelConfig {
  return parseModelConfig(json, "config.json");
}

/** What makes it a reward model's file. */
const rewardModel = { architectures: ["LlamaForSequenceClassification"] };

/** Without the parts in which two layouts of one model differ. */
function comparable(config: ModelConfig): Partial<ModelConfig> {
  const { raw: _raw, dtype: _dtype, quantisation: _quantisation, ...rest } = config;
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
      fullHeads: null,
      rmsNormEps: 1e-5,
      maxPositions: 131072,
      tieWordEmbeddings: true,
      design: plainDesign,
      rope: {
        full: {
          theta: 500000,
          share: 1,
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
      paddingRow: null,
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
      full: { theta: 1_000_000, share: 1, scaling: { kind: "linear", factor: 8 } },
      sliding: { theta: 10_000, share: 1, scaling: { kind: "none" } },
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
    const without = parse({ model_type: "llama", bos_token_id: null, eos_token_id: null });
    assert.deepEqual([without.bosTokenId, without.eosTokenIds], [null, []]);
    const phi = { model_type: "phi3" };
    assert.deepEqual(
      [parse(phi).padTokenId, parse({ ...phi, pad_token_id: null }).padTokenId],
      [32_000, null],
    );
    assert.equal(llama.rope.full.theta, 10_000);
    assert.equal(llama.tieWordEmbeddings, false);
    const qwen = parse({ architectures: ["Qwen3ForCausalLM"] });
    assert.deepEqual([qwen.headDim, qwen.numKeyValueHeads, qwen.vocabSize], [128, 32, 151936]);
    assert.deepEqual([qwen.bosTokenId, qwen.eosTokenIds, qwen.tieWordEmbeddings], [null, [], false]);
    assert.equal(qwen.dtype, "float32");
  });

  test("the windows of families in which all layers slide or none", () => {
    const windowOf = (json: Record<string, unknown>) => {
      const { slidingWindow, layerKinds } = parse({ model_type: "mistral", num_hidden_layers: 1, ...json });
      return [slidingWindow, layerKinds[0]];
    };
    assert.deepEqual(windowOf({}), [4096, "sliding"]);
    assert.deepEqual(windowOf({ sliding_window: null }), [null, "full"]);
    assert.deepEqual(windowOf({ sliding_window: 7 }), [7, "sliding"]);
    // transformers' Auto classes read these by the words
    assert.deepEqual(windowOf({ layer_types: ["sliding_attention"] }), [4096, "sliding"]);
    const full = { sliding_window: null, layer_types: ["full_attention"] };
    assert.deepEqual(windowOf(full), [null, "full"]);
  });

  test("YaRN: what a file leaves out, and the context it gives", () => {
    const yarn = {
      model_type: "qwen2",
      max_position_embeddings: 32768,
      rope_scaling: { type: "yarn", factor: 4 },
    };
    const config = parse(yarn);
    assert.deepEqual(config.rope.full.scaling, {
      kind: "yarn",
      factor: 4,
      betaFast: 32,
      betaSlow: 1,
      originalMaxPositions: 32768,
      attentionFactor: 0.1 * Math.log(4) + 1,
    });
    assert.equal(contextLength(config), 131072);
  });

  test("an empty rope_scaling says nothing; where layers have tables of their own its old name for the kind is refused", () => {
    const parameters = { rope_type: "linear", factor: 2, rope_theta: 5e5 };
    const both = parse({ ...llama32, rope_scaling: {}, rope_parameters: parameters, rope_theta: undefined });
    assert.deepEqual([both.rope.full.theta, both.rope.full.scaling], [5e5, { kind: "linear", factor: 2 }]);
    for (const type of ["gemma3_text", "olmo3"]) {
      const old = { model_type: type, rope_scaling: { type: "linear", factor: 8 } };
      assert.throws(() => parse(old), /rope_scaling\.type: expected rope_type.*scales nothing/);
    }
    const olmo = { model_type: "olmo3", rope_theta: 10_000 };
    const full = { rope_type: "default", rope_theta: 10_000 };
    assert.throws(
      () => parse({ ...olmo, rope_parameters: { full_attention: full } }),
      /rope_theta: expected 500000/,
    );
    const each = parse({ ...olmo, rope_parameters: { full_attention: full, sliding_attention: full } });
    assert.deepEqual([each.rope.full.theta, each.rope.sliding?.theta], [10_000, 10_000]);
  });

  test("patterns of sliding layers, old and new spelling", () => {
    const gemma = { model_type: "gemma3_text", num_hidden_layers: 4 };
    assert.deepEqual(parse({ ...gemma, sliding_window_pattern: 2 }).layerKinds, [
      "sliding",
      "full",
      "sliding",
      "full",
    ]);
    // transformers 5 writes this name beside layer_types, and without them takes 6
    assert.throws(
      () => parse({ ...gemma, _sliding_window_pattern: 3 }),
      /_sliding_window_pattern: expected 6, got 3/,
    );
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

  for (const model of everyFamily) {
    test(`both layouts of ${model}`, () => {
      const old = readModelConfig(fixturePath(model, "model"));
      const recent = readModelConfig(fixturePath(model, "config_transformers5"));
      assert.deepEqual(comparable(old), comparable(recent));
      assert.equal(old.vocabSize, 512);
      assert.equal(old.dtype, "float32");
    });
  }

  test("Gemma 4: the text part of a multimodal file, heads by kind of layer, the last layer full", () => {
    const {
      model_type: _,
      architectures: __,
      ...text
    } = JSON.parse(readFileSync(fixturePath("gemma4_dense", "model", "config.json"), "utf8"));
    const whole = {
      model_type: "gemma4",
      architectures: ["Gemma4ForConditionalGeneration"],
      text_config: { ...text, model_type: "gemma4_text" },
    };
    const config = parse(whole);
    assert.deepEqual(
      { ...comparable(config), isMultimodalText: false },
      comparable(readModelConfig(fixturePath("gemma4_dense", "model"))),
    );
    assert.equal(config.isMultimodalText, true);
    assert.deepEqual(config.fullHeads, { headDim: 16, numKeyValueHeads: 1 });
    const sliding = { ...text, model_type: "gemma4_text", layer_types: Array(3).fill("sliding_attention") };
    assert.deepEqual(parse(sliding).layerKinds, ["sliding", "sliding", "full"]);
  });

  for (const name of multimodalNames) {
    test(`${name}: the text of a multimodal file is that of its family`, () => {
      const config = parse(JSON.parse(JSON.stringify(multimodalConfig(name))));
      const text = readModelConfig(fixturePath(multimodalLayout(name).fixture, "model"));
      assert.deepEqual({ ...comparable(config), isMultimodalText: false }, comparable(text));
    });
  }

  test("a multimodal file: its top says whether the head is the embedding, the text's part which row has no gradient", () => {
    const mistral3 = { ...multimodalConfig("mistral3"), tie_word_embeddings: true, pad_token_id: 5 };
    const { text_config } = mistral3 as unknown as { text_config: object };
    const read = (text: object) => {
      const file = { ...mistral3, text_config: { ...text_config, ...text } };
      const { tieWordEmbeddings, padTokenId, paddingRow } = parse(JSON.parse(JSON.stringify(file)));
      return [tieWordEmbeddings, padTokenId, paddingRow];
    };
    assert.deepEqual(read({ tie_word_embeddings: false, pad_token_id: 7 }), [true, 5, 7]);
    assert.deepEqual(read({ tie_word_embeddings: false, pad_token_id: null }), [true, 5, null]);
    assert.equal(parse({ ...gemma4b, tie_word_embeddings: false }).tieWordEmbeddings, false);
  });

  test("Qwen2.5-VL: the head is the embedding where the top or the text's part says so, as in transformers", () => {
    const read = (top: object, text: object) =>
      parse({ model_type: "qwen2_5_vl", ...top, text_config: { model_type: "qwen2_5_vl_text", ...text } })
        .tieWordEmbeddings;
    const [tied, untied] = [{ tie_word_embeddings: true }, { tie_word_embeddings: false }];
    // transformers 5.23.0: Qwen2_5_VLConfig.from_dict(file).tie_word_embeddings
    const tops = [{}, tied, untied];
    assert.deepEqual(
      tops.map((top) => read(top, {})),
      [false, true, false],
    );
    assert.deepEqual(
      tops.map((top) => read(top, tied)),
      [true, true, true],
    );
    assert.deepEqual(
      tops.map((top) => read(top, untied)),
      [false, true, false],
    );
  });

  test("Qwen2.5-VL: what its file leaves out is its class's, not Qwen2's", () => {
    const { vocabSize, numLayers, rmsNormEps, rope, eosTokenIds } = parse({ model_type: "qwen2_5_vl" });
    assert.deepEqual(
      [vocabSize, numLayers, rmsNormEps, rope.full.theta, eosTokenIds],
      [152_064, 80, 1e-5, 1_000_000, [151_645]],
    );
  });

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
