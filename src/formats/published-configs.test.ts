/** Keys of published config.json files, the models of recipes and docs among them: each is read, whatever programs wrote into it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseModelConfig } from "./hf-config.ts";

const common = {
  initializer_range: 0.02,
  use_cache: true,
  torch_dtype: "bfloat16",
  transformers_version: "4.46.0",
};
const factors = { rope_type: "llama3", factor: 32, low_freq_factor: 1, high_freq_factor: 4 };
const longrope = { type: "longrope", short_factor: Array(48).fill(1), long_factor: Array(48).fill(1.5) };

/** Files by the model that has such keys; sizes as published. */
const published: Record<string, Record<string, unknown>> = {
  "HuggingFaceTB/SmolLM2-135M-Instruct": {
    ...{
      architectures: ["LlamaForCausalLM"],
      model_type: "llama",
      attention_bias: false,
      attention_dropout: 0,
    },
    ...{ bos_token_id: 1, eos_token_id: 2, pad_token_id: 2, hidden_act: "silu", hidden_size: 576 },
    ...{ intermediate_size: 1536, is_llama_config: true, max_position_embeddings: 8192, mlp_bias: false },
    ...{ num_attention_heads: 9, num_hidden_layers: 30, num_key_value_heads: 3, pretraining_tp: 1 },
    ...{ rms_norm_eps: 1e-5, rope_interleaved: false, rope_scaling: null, rope_theta: 100_000 },
    ...{ tie_word_embeddings: true, vocab_size: 49_152 },
    "transformers.js_config": { kv_cache_dtype: { q4f16: "float16", fp16: "float16" } },
  },
  "meta-llama/Llama-3.2-3B-Instruct": {
    ...{
      architectures: ["LlamaForCausalLM"],
      model_type: "llama",
      attention_bias: false,
      attention_dropout: 0,
    },
    ...{
      bos_token_id: 128_000,
      eos_token_id: [128_001, 128_008, 128_009],
      head_dim: 128,
      hidden_act: "silu",
    },
    ...{ hidden_size: 3072, intermediate_size: 8192, max_position_embeddings: 131_072, mlp_bias: false },
    ...{ num_attention_heads: 24, num_hidden_layers: 28, num_key_value_heads: 8, pretraining_tp: 1 },
    rope_scaling: { ...factors, original_max_position_embeddings: 8192 },
    ...{ rms_norm_eps: 1e-5, rope_theta: 500_000, tie_word_embeddings: true, vocab_size: 128_256 },
  },
  "HuggingFaceTB/SmolLM3-3B": {
    ...{
      architectures: ["SmolLM3ForCausalLM"],
      model_type: "smollm3",
      attention_bias: false,
      attention_dropout: 0,
    },
    ...{ bos_token_id: null, eos_token_id: 128_012, pad_token_id: 128_004, hidden_act: "silu" },
    ...{ hidden_size: 2048, intermediate_size: 11_008, layer_types: Array(36).fill("full_attention") },
    ...{ max_position_embeddings: 65_536, max_window_layers: 28, mlp_bias: false, no_rope_layer_interval: 4 },
    no_rope_layers: Array.from({ length: 36 }, (_, i) => ((i + 1) % 4 === 0 ? 0 : 1)),
    ...{ num_attention_heads: 16, num_hidden_layers: 36, num_key_value_heads: 4, pretraining_tp: 2 },
    ...{ rms_norm_eps: 1e-6, rope_scaling: null, rope_theta: 5_000_000, sliding_window: null },
    ...{ use_sliding_window: false, vocab_size: 128_256 },
  },
  "google/gemma-2-9b-it": {
    ...{
      architectures: ["Gemma2ForCausalLM"],
      model_type: "gemma2",
      attention_bias: false,
      attention_dropout: 0,
    },
    ...{ attn_logit_softcapping: 50, final_logit_softcapping: 30, bos_token_id: 2, eos_token_id: 1 },
    ...{ cache_implementation: "hybrid", head_dim: 256, hidden_act: "gelu_pytorch_tanh" },
    ...{ hidden_activation: "gelu_pytorch_tanh", hidden_size: 3584, intermediate_size: 14_336 },
    ...{
      max_position_embeddings: 8192,
      num_attention_heads: 16,
      num_hidden_layers: 42,
      num_key_value_heads: 8,
    },
    ...{ pad_token_id: 0, query_pre_attn_scalar: 256, rms_norm_eps: 1e-6, rope_theta: 10_000 },
    ...{ sliding_window: 4096, sliding_window_size: 4096, vocab_size: 256_000 },
  },
  "google/gemma-3-1b-it": {
    ...{ architectures: ["Gemma3ForCausalLM"], model_type: "gemma3_text", attention_bias: false },
    ...{ attention_dropout: 0, attn_logit_softcapping: null, final_logit_softcapping: null, bos_token_id: 2 },
    ...{ cache_implementation: "hybrid", eos_token_id: [1, 106], head_dim: 256, hidden_size: 1152 },
    ...{ hidden_activation: "gelu_pytorch_tanh", intermediate_size: 6912, max_position_embeddings: 32_768 },
    ...{ num_attention_heads: 4, num_hidden_layers: 26, num_key_value_heads: 1, pad_token_id: 0 },
    ...{ query_pre_attn_scalar: 256, rms_norm_eps: 1e-6, rope_local_base_freq: 10_000, rope_scaling: null },
    ...{ rope_theta: 1_000_000, sliding_window: 512, sliding_window_pattern: 6, vocab_size: 262_144 },
  },
  "google/gemma-3-4b-it": {
    ...{ architectures: ["Gemma3ForConditionalGeneration"], model_type: "gemma3", boi_token_index: 255_999 },
    ...{
      eoi_token_index: 256_000,
      eos_token_id: [1, 106],
      image_token_index: 262_144,
      mm_tokens_per_image: 256,
    },
    text_config: {
      ...{ hidden_size: 2560, intermediate_size: 10_240, model_type: "gemma3_text", num_hidden_layers: 34 },
      ...{ rope_scaling: { factor: 8, rope_type: "linear" }, sliding_window: 1024 },
    },
    vision_config: {
      hidden_size: 1152,
      image_size: 896,
      model_type: "siglip_vision_model",
      vision_use_head: false,
    },
  },
  "Qwen/Qwen2.5-7B-Instruct": {
    ...{
      architectures: ["Qwen2ForCausalLM"],
      model_type: "qwen2",
      attention_dropout: 0,
      bos_token_id: 151_643,
    },
    ...{ eos_token_id: 151_645, hidden_act: "silu", hidden_size: 3584, intermediate_size: 18_944 },
    ...{
      max_position_embeddings: 32_768,
      max_window_layers: 28,
      num_attention_heads: 28,
      num_hidden_layers: 28,
    },
    ...{ num_key_value_heads: 4, rms_norm_eps: 1e-6, rope_theta: 1_000_000, sliding_window: 131_072 },
    ...{ tie_word_embeddings: false, use_sliding_window: false, vocab_size: 152_064 },
  },
  "Qwen/Qwen3-4B": {
    ...{
      architectures: ["Qwen3ForCausalLM"],
      model_type: "qwen3",
      attention_bias: false,
      attention_dropout: 0,
    },
    ...{ bos_token_id: 151_643, eos_token_id: 151_645, head_dim: 128, hidden_act: "silu", hidden_size: 2560 },
    ...{ intermediate_size: 9728, max_position_embeddings: 40_960, max_window_layers: 36 },
    ...{ num_attention_heads: 32, num_hidden_layers: 36, num_key_value_heads: 8, rms_norm_eps: 1e-6 },
    ...{ rope_scaling: null, rope_theta: 1_000_000, sliding_window: null, use_sliding_window: false },
    ...{ tie_word_embeddings: true, vocab_size: 151_936 },
  },
  "mistralai/Mistral-7B-Instruct-v0.3": {
    ...{
      architectures: ["MistralForCausalLM"],
      model_type: "mistral",
      attention_dropout: 0,
      bos_token_id: 1,
    },
    ...{ eos_token_id: 2, hidden_act: "silu", hidden_size: 4096, intermediate_size: 14_336 },
    ...{
      max_position_embeddings: 32_768,
      num_attention_heads: 32,
      num_hidden_layers: 32,
      num_key_value_heads: 8,
    },
    ...{ rms_norm_eps: 1e-5, rope_theta: 1_000_000, sliding_window: null, vocab_size: 32_768 },
    tie_word_embeddings: false,
  },
  "allenai/OLMo-2-1124-7B-Instruct": {
    ...{
      architectures: ["Olmo2ForCausalLM"],
      model_type: "olmo2",
      attention_bias: false,
      attention_dropout: 0,
    },
    ...{ eos_token_id: 100_257, pad_token_id: 100_277, hidden_act: "silu", hidden_size: 4096 },
    ...{ intermediate_size: 11_008, max_position_embeddings: 4096, num_attention_heads: 32 },
    ...{ num_hidden_layers: 32, num_key_value_heads: 32, rms_norm_eps: 1e-6, rope_scaling: null },
    ...{ rope_theta: 500_000, tie_word_embeddings: false, vocab_size: 100_352 },
  },
  "ibm-granite/granite-3.3-8b-instruct": {
    ...{
      architectures: ["GraniteForCausalLM"],
      model_type: "granite",
      attention_bias: false,
      attention_dropout: 0,
    },
    ...{ attention_multiplier: 0.0078125, bos_token_id: 0, eos_token_id: 0, pad_token_id: 0 },
    ...{ embedding_multiplier: 12, hidden_act: "silu", hidden_size: 4096, intermediate_size: 12_800 },
    ...{ logits_scaling: 16, max_position_embeddings: 131_072, mlp_bias: false, num_attention_heads: 32 },
    ...{ num_hidden_layers: 40, num_key_value_heads: 8, residual_multiplier: 0.22, rms_norm_eps: 1e-5 },
    ...{ rope_scaling: null, rope_theta: 10_000_000, tie_word_embeddings: true, vocab_size: 49_159 },
  },
  "ibm-granite/granite-4.0-micro": {
    ...{
      architectures: ["GraniteMoeHybridForCausalLM"],
      model_type: "granitemoehybrid",
      attention_bias: false,
    },
    ...{ attention_dropout: 0, attention_multiplier: 0.015625, bos_token_id: 100_257, eos_token_id: 100_257 },
    ...{ embedding_multiplier: 12, hidden_act: "silu", hidden_size: 2560, init_method: "mup" },
    ...{ intermediate_size: 8192, layer_types: Array(40).fill("attention"), logits_scaling: 10 },
    ...{
      mamba_chunk_size: 256,
      mamba_conv_bias: true,
      mamba_d_conv: 4,
      mamba_d_head: 32,
      mamba_d_state: 256,
    },
    ...{ mamba_expand: 2, mamba_n_groups: 1, mamba_n_heads: 128, mamba_proj_bias: false },
    ...{ max_position_embeddings: 131_072, mlp_bias: false, normalization_function: "rmsnorm" },
    ...{ num_attention_heads: 40, num_experts_per_tok: 0, num_hidden_layers: 40, num_key_value_heads: 8 },
    ...{
      num_local_experts: 0,
      output_router_logits: false,
      pad_token_id: 100_256,
      position_embedding_type: "rope",
    },
    ...{ residual_multiplier: 0.22, rms_norm_eps: 1e-5, rope_scaling: null, rope_theta: 10_000_000 },
    ...{ router_aux_loss_coef: 0.01, shared_intermediate_size: 8192, tie_word_embeddings: true },
    vocab_size: 100_352,
  },
  "microsoft/Phi-4-mini-instruct": {
    ...{
      architectures: ["Phi3ForCausalLM"],
      model_type: "phi3",
      attention_bias: false,
      attention_dropout: 0,
    },
    auto_map: {
      AutoConfig: "configuration_phi3.Phi3Config",
      AutoModelForCausalLM: "modeling_phi3.Phi3ForCausalLM",
    },
    ...{ bos_token_id: 199_999, embd_pdrop: 0, eos_token_id: 199_999, full_attn_mod: 1, hidden_act: "silu" },
    ...{ hidden_size: 3072, intermediate_size: 8192, interpolate_factor: 1, lm_head_bias: false },
    ...{ max_position_embeddings: 131_072, mlp_bias: false, num_attention_heads: 24, num_hidden_layers: 32 },
    ...{ num_key_value_heads: 8, original_max_position_embeddings: 4096, pad_token_id: 199_999 },
    ...{ partial_rotary_factor: 0.75, resid_pdrop: 0, rms_norm_eps: 1e-5, rope_scaling: longrope },
    ...{ rope_theta: 10_000, sliding_window: 262_144, tie_word_embeddings: true, vocab_size: 200_064 },
  },
  "microsoft/phi-4": {
    ...{
      architectures: ["Phi3ForCausalLM"],
      model_type: "phi3",
      attention_bias: false,
      attention_dropout: 0,
    },
    ...{ bos_token_id: 100_257, embd_pdrop: 0, eos_token_id: 100_265, hidden_act: "silu", hidden_size: 5120 },
    ...{ intermediate_size: 17_920, max_position_embeddings: 16_384, num_attention_heads: 40 },
    ...{ num_hidden_layers: 40, num_key_value_heads: 10, original_max_position_embeddings: 16_384 },
    ...{ pad_token_id: 100_349, resid_pdrop: 0, rms_norm_eps: 1e-5, rope_scaling: null, rope_theta: 250_000 },
    ...{ sliding_window: null, tie_word_embeddings: false, vocab_size: 100_352 },
  },
};

for (const [name, keys] of Object.entries(published)) {
  test(name, () => {
    assert.ok(parseModelConfig({ ...common, ...keys }, "config.json").numLayers > 0);
  });
}

test("null is no token, whatever the class has", () => {
  const smollm3 = parseModelConfig({ ...common, ...published["HuggingFaceTB/SmolLM3-3B"] }, "config.json");
  const { bosTokenId, eosTokenIds, padTokenId } = smollm3;
  assert.deepEqual([bosTokenId, eosTokenIds, padTokenId], [null, [128_012], 128_004]);
});

test("a key that says something else than published files is refused still", () => {
  const smollm2 = published["HuggingFaceTB/SmolLM2-135M-Instruct"];
  for (const wrong of [{ is_llama_config: false }, { rope_interleaved: true }]) {
    const [key = ""] = Object.keys(wrong);
    assert.throws(
      () => parseModelConfig({ ...common, ...smollm2, ...wrong }, "config.json"),
      new RegExp(key),
    );
  }
});
