/** Configurations written for exported models read back as the same model. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { gemma4b, llama32 } from "../../test/support/sample-configs.ts";
import { parseModelConfig } from "./hf-config.ts";
import { configJsonText, exportConfig } from "./hf-config-export.ts";
import type { ModelConfig } from "./model-config.ts";

function parse(json: unknown): ModelConfig {
  return parseModelConfig(json, "config.json");
}

/** Without the parts in which a file and its export differ. */
function comparable(config: ModelConfig): Partial<ModelConfig> {
  const { raw: _raw, dtype: _dtype, ...rest } = config;
  return rest;
}

describe("export", () => {
  test("what is exported reads back as the same model", () => {
    const newGemma = {
      model_type: "gemma3_text",
      num_hidden_layers: 2,
      rope_parameters: {
        full_attention: { rope_type: "default", rope_theta: 5e5 },
        sliding_attention: { rope_type: "linear", factor: 2, rope_theta: 1e4 },
      },
    };
    for (const json of [llama32, { model_type: "qwen3" }, gemma4b, newGemma]) {
      const config = parse(json);
      const written = exportConfig(config, { tieWordEmbeddings: false, dtype: "float16" });
      const again = parse(JSON.parse(JSON.stringify(written)));
      const expected = { ...comparable(config), tieWordEmbeddings: false, isMultimodalText: false };
      assert.deepEqual(comparable(again), expected);
      assert.equal(again.dtype, "float16");
      assert.deepEqual(Object.keys(written), Object.keys(written).sort());
    }
  });

  test("a multimodal Gemma becomes a text model with its defaults written out", () => {
    const written = exportConfig(parse(gemma4b), { tieWordEmbeddings: true, dtype: "bfloat16" });
    const { layer_types: layerTypes, ...rest } = written;
    assert(Array.isArray(layerTypes) && layerTypes.length === 34);
    assert.deepEqual(rest, {
      architectures: ["Gemma3ForCausalLM"],
      attention_bias: false,
      bos_token_id: 2,
      eos_token_id: [1, 106],
      head_dim: 256,
      hidden_activation: "gelu_pytorch_tanh",
      hidden_size: 2560,
      intermediate_size: 10240,
      max_position_embeddings: 131072,
      model_type: "gemma3_text",
      num_attention_heads: 8,
      num_hidden_layers: 34,
      num_key_value_heads: 4,
      pad_token_id: 0,
      query_pre_attn_scalar: 256,
      rms_norm_eps: 1e-6,
      rope_local_base_freq: 10000,
      rope_scaling: { factor: 8, rope_type: "linear" },
      rope_theta: 1000000,
      sliding_window: 1024,
      tie_word_embeddings: true,
      torch_dtype: "bfloat16",
      vocab_size: 262208,
    });
  });

  test("LongRoPE's table has the three keys that transformers 4 takes, unless its factor is another", () => {
    const factors = { short_factor: Array(48).fill(1), long_factor: Array(48).fill(2) };
    const json = {
      ...{ model_type: "phi3", max_position_embeddings: 131_072, original_max_position_embeddings: 4096 },
      rope_scaling: { type: "longrope", ...factors },
    };
    const tableOf = (config: ModelConfig) =>
      exportConfig(config, { tieWordEmbeddings: false, dtype: "float16" })["rope_scaling"];
    assert.deepEqual(tableOf(parse(json)), { type: "longrope", ...factors });
    const other = { ...json, rope_scaling: { type: "longrope", ...factors, attention_factor: 1.5 } };
    assert.deepEqual(tableOf(parse(other)), {
      ...{ type: "longrope", rope_type: "longrope", attention_factor: 1.5, ...factors },
    });
  });

  test("one end token stays a number, other fields of the file stay", () => {
    const config = parse({ ...llama32, eos_token_id: 7, initializer_range: 0.5, _name_or_path: "/home/x" });
    const written = exportConfig(config, { tieWordEmbeddings: true, dtype: "float32" });
    const { eos_token_id: eos, initializer_range: range } = written;
    assert.deepEqual([eos, range], [7, 0.5]);
    assert(!("_name_or_path" in written));
  });

  test("the text keeps floats floats and the value unchanged", () => {
    const written = exportConfig(parse(llama32), { tieWordEmbeddings: true, dtype: "float32" });
    const text = configJsonText(written);
    assert.deepEqual(JSON.parse(text), written);
    assert.match(text, /\n {2}"rope_theta": 500000\.0,\n/);
    assert.match(
      text,
      /\n {4}"factor": 32\.0,\n {4}"high_freq_factor": 4\.0,\n {4}"low_freq_factor": 1\.0,\n/,
    );
    assert.match(text, /"original_max_position_embeddings": 8192,/);
    assert.match(text, /"hidden_size": 3072,/);
  });

  test("a dense Granite 4 without what its file says of Mamba layers: transformers 5 refuses 0 there for 0.0", () => {
    const config = parse({
      ...{
        model_type: "granitemoehybrid",
        num_local_experts: 0,
        num_hidden_layers: 1,
        layer_types: ["attention"],
      },
      ...{ time_step_limit: [0, { __float__: "Infinity" }], time_step_min: 0, router_aux_loss_coef: 0 },
    });
    const written = exportConfig(config, { tieWordEmbeddings: true, dtype: "float32" });
    assert.deepEqual(
      Object.keys(written).filter((key) => key.startsWith("time_step")),
      [],
    );
    assert.match(configJsonText(written), /\n {2}"router_aux_loss_coef": 0\.0,\n/);
  });
});
