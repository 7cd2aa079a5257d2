/** Configurations that must be refused, and the message that each gets. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { gemma4b, llama32, llama32Rope } from "../../test/support/sample-configs.ts";
import { FormatError } from "../base/errors.ts";
import { parseModelConfig } from "./hf-config.ts";
import type { ModelConfig } from "./model-config.ts";

function parse(json: unknown): ModelConfig {
  return parseModelConfig(json, "config.json");
}

/** What makes it a reward model's file. */
const rewardModel = { architectures: ["LlamaForSequenceClassification"] };

describe("what is refused", () => {
  const gemma = { model_type: "gemma3_text", num_hidden_layers: 2 };
  const cases: [string, unknown, RegExp][] = [
    ["not an object", [1], /config\.json: expected a JSON object/],
    ["no model type", {}, /model_type: expected one of llama, qwen3, gemma3_text, gemma3, .*, got nothing/],
    [
      "unknown model type",
      { model_type: "lama" },
      /got "lama"\. Did you mean "llama"\? Use a Llama, Qwen3, Gemma 3, .* checkpoint/,
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
      /quantization_config: expected bitsandbytes.*got \{"bits":4\}.*dequantize/,
    ],
    [
      "quantised text part",
      { ...gemma4b, text_config: { quantization_config: {} } },
      /text_config\.quantization_config/,
    ],
    [
      "a multimodal model around a text of another family",
      { model_type: "mistral3", text_config: { model_type: "ministral3" } },
      /text_config\.model_type: expected "mistral", got "ministral3", which needs what is not here: queries scaled by their positions/,
    ],
    [
      "a multimodal model around a text that is unknown",
      { model_type: "gemma3", text_config: { model_type: "gemma2" } },
      /text_config\.model_type: expected "gemma3_text", got "gemma2"\. docs\/models\.md/,
    ],
    [
      "an unknown key beside the text's at the top",
      { model_type: "qwen2_5_vl", vision_config: {}, image_scale: 2 },
      /config\.json: image_scale: /,
    ],
    [
      "sections of positions without the model that has them",
      { model_type: "qwen2", rope_scaling: { type: "mrope", mrope_section: [4, 2, 2] } },
      /rope_scaling\.type: .*got "mrope"/,
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
    [
      "a key that nothing here reads",
      { ...llama32, rope_tetha: 10 },
      /config\.json: rope_tetha: expected a key of a Llama model, got 10\..*Did you mean "rope_theta"\?/,
    ],
    [
      "a key of position scaling that nothing here reads",
      { ...llama32, rope_scaling: { ...llama32Rope, mscale: 2 } },
      /rope_scaling\.mscale: expected a key of this kind of position scaling, got 2/,
    ],
    [
      "dropout of attention",
      { ...llama32, attention_dropout: 0.1 },
      /attention_dropout: expected 0, got 0.1\. It acts in training alone, .*Write 0/,
    ],
    [
      "Qwen2 with a window",
      { model_type: "qwen2", use_sliding_window: true },
      /use_sliding_window: expected false/,
    ],
    [
      "a mixture of experts",
      { model_type: "qwen3_moe" },
      /got "qwen3_moe", which needs what is not here: layers of experts\. Take a dense Qwen3 checkpoint/,
    ],
    [
      "a hybrid Granite",
      {
        model_type: "granitemoehybrid",
        num_hidden_layers: 2,
        num_local_experts: 0,
        layer_types: ["attention", "mamba"],
      },
      /layer_types: expected 2 times "attention" .*Mamba layers are not supported/,
    ],
    [
      "Granite experts by default",
      { model_type: "granitemoehybrid" },
      /num_local_experts: expected 0 \(absent means 8\), got nothing/,
    ],
    [
      "OLMo 3 with another base in the hub's layout",
      { model_type: "olmo3", rope_theta: 10_000 },
      /rope_theta: expected 500000.*transformers gives another value to full layers alone/,
    ],
    [
      "too few factors of LongRoPE",
      { model_type: "phi3", rope_scaling: { type: "su", short_factor: [1], long_factor: [1] } },
      /rope_scaling: expected short_factor and long_factor with 48 numbers each/,
    ],
    [
      "factors of LongRoPE as text",
      { model_type: "phi3", rope_scaling: { type: "longrope", short_factor: "1", long_factor: [1] } },
      /rope_scaling\.short_factor: expected a list of numbers above 0/,
    ],
    [
      "a share of a head that turns half a pair",
      { model_type: "phi3", partial_rotary_factor: 0.6 },
      /partial_rotary_factor: expected a fraction of head_dim \(96\) that turns an even number, since pairs turn, not 57, got 0\.6/,
    ],
    [
      "a list of rotary layers that is too short",
      { model_type: "smollm3", num_hidden_layers: 3, no_rope_layers: [1, 0] },
      /no_rope_layers: expected a list of 3 numbers, 1 for rotary positions/,
    ],
    [
      "Gemma 4 E2B",
      { model_type: "gemma4_text", hidden_size_per_layer_input: 256 },
      /hidden_size_per_layer_input: expected 0 \(absent means 256\), got 256.*E2B, E4B/,
    ],
    [
      "Gemma 4 without the key",
      { model_type: "gemma4_text" },
      /hidden_size_per_layer_input: expected 0 \(absent means 256\)/,
    ],
    [
      "keys of another layer",
      { model_type: "gemma4_text", hidden_size_per_layer_input: 0, num_kv_shared_layers: 18 },
      /num_kv_shared_layers: expected 0, got 18.*E2B, E4B/,
    ],
    [
      "Gemma 4 with experts",
      { model_type: "gemma4_text", hidden_size_per_layer_input: 0, enable_moe_block: true },
      /enable_moe_block: expected false, got true.*experts/,
    ],
    [
      "full layers of several widths",
      {
        model_type: "gemma4_text",
        hidden_size_per_layer_input: 0,
        num_hidden_layers: 12,
        per_layer_config: { 5: { head_dim: 512 }, 11: { head_dim: 256 } },
      },
      /per_layer_config: expected the same head_dim .* for each full layer \(5, 11\)/,
    ],
    [
      "a cap of 0",
      { model_type: "gemma2", attn_logit_softcapping: 0 },
      /attn_logit_softcapping: expected a number above 0/,
    ],
    [
      "residual dropout",
      { model_type: "phi3", resid_pdrop: 0.1 },
      /resid_pdrop: expected 0, got 0.1\. It acts in training alone/,
    ],
    [
      "a Mistral whose layers differ, which transformers takes for a Ministral",
      {
        ...{ model_type: "mistral", num_hidden_layers: 2, sliding_window: 8 },
        layer_types: ["sliding_attention", "full_attention"],
      },
      /layer_types: expected "sliding_attention" throughout, as sliding_window 8 says, got .*Ministral.*Take a Mistral 7B/,
    ],
    [
      "a Mistral of full layers with the class's window",
      {
        ...{ model_type: "mistral", num_hidden_layers: 2 },
        layer_types: ["full_attention", "full_attention"],
      },
      /layer_types: expected "sliding_attention" throughout, as sliding_window 4096, its default, says, got .*Write sliding_window: null/,
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
