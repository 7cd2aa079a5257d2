/** Configurations of published models, for the tests of this folder. */

/** The `rope_scaling` of {@link llama32}. */
export const llama32Rope: Readonly<Record<string, unknown>> = {
  factor: 32.0,
  high_freq_factor: 4.0,
  low_freq_factor: 1.0,
  original_max_position_embeddings: 8192,
  rope_type: "llama3",
};

/** `config.json` of meta-llama/Llama-3.2-3B-Instruct. */
export const llama32: Readonly<Record<string, unknown>> = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  vocab_size: 128256,
  hidden_size: 3072,
  intermediate_size: 8192,
  num_hidden_layers: 28,
  num_attention_heads: 24,
  num_key_value_heads: 8,
  head_dim: 128,
  hidden_act: "silu",
  max_position_embeddings: 131072,
  rms_norm_eps: 1e-5,
  rope_theta: 500000.0,
  rope_scaling: llama32Rope,
  tie_word_embeddings: true,
  attention_bias: false,
  mlp_bias: false,
  bos_token_id: 128000,
  eos_token_id: [128001, 128008, 128009],
  torch_dtype: "bfloat16",
};

/** The `text_config` of {@link gemma4b}. */
export const gemma4bText: Readonly<Record<string, unknown>> = {
  hidden_size: 2560,
  intermediate_size: 10240,
  model_type: "gemma3_text",
  num_hidden_layers: 34,
  rope_scaling: { factor: 8.0, rope_type: "linear" },
  sliding_window: 1024,
};

/** `config.json` of google/gemma-3-4b-it, which lists few keys of its text part. */
export const gemma4b: Readonly<Record<string, unknown>> = {
  architectures: ["Gemma3ForConditionalGeneration"],
  model_type: "gemma3",
  eos_token_id: [1, 106],
  text_config: gemma4bText,
  torch_dtype: "bfloat16",
  vision_config: { model_type: "siglip_vision_model" },
};
