/** The models of the benchmarks: `bench`, `bench` as other families build it, one with a big vocabulary, and one of a billion weights. */
import { parseModelConfig } from "../../src/formats/hf-config.ts";
import type { ModelConfig } from "../../src/formats/model-config.ts";

/** The families a model of the benchmark can have, by `model_type`. */
type Family = "qwen3" | "llama" | "gemma3_text" | "qwen2" | "mistral";

/** The sizes of a decoder with gated feed-forward layers and grouped queries. */
export interface ModelShape {
  family: Family;
  layers: number;
  width: number;
  intermediate: number;
  heads: number;
  keyValueHeads: number;
  headWidth: number;
  vocabulary: number;
}

const bench: ModelShape = {
  family: "qwen3",
  layers: 10,
  width: 384,
  intermediate: 1152,
  heads: 6,
  keyValueHeads: 2,
  headWidth: 64,
  vocabulary: 32_000,
};

/** Shapes by the name `--model` takes. */
export const shapes: Record<string, ModelShape> = {
  bench,
  bigvocab: {
    family: "qwen3",
    layers: 4,
    width: 256,
    intermediate: 768,
    heads: 4,
    keyValueHeads: 2,
    headWidth: 64,
    vocabulary: 151_936,
  },
  // that of Llama 3.2 1B: for generation, where what a model's size decides is not seen on small ones
  "llama-1b": {
    family: "llama",
    layers: 16,
    width: 2048,
    intermediate: 8192,
    heads: 32,
    keyValueHeads: 8,
    headWidth: 64,
    vocabulary: 128_256,
  },
  "bench-llama": { ...bench, family: "llama" },
  "bench-gemma3": { ...bench, family: "gemma3_text" },
  "bench-qwen2": { ...bench, family: "qwen2" },
  "bench-mistral": { ...bench, family: "mistral" },
};

/** The shape named so: one of `shapes`, or "vocab-N", `bigvocab` with a vocabulary of N. */
export function shapeNamed(name: string): ModelShape | null {
  const size = /^vocab-(\d+)$/.exec(name)?.[1];
  if (size !== undefined) return { ...(shapes["bigvocab"] as ModelShape), vocabulary: Number(size) };
  return shapes[name] ?? null;
}

/** What each family's config.json has beside the keys of all: windows as published where there are any, and what its class needs. */
const familyKeys: Readonly<Record<Family, Record<string, unknown>>> = {
  qwen3: {
    architectures: ["Qwen3ForCausalLM"],
    attention_bias: false,
    hidden_act: "silu",
    rope_scaling: null,
    sliding_window: null,
    use_sliding_window: false,
  },
  llama: { architectures: ["LlamaForCausalLM"], attention_bias: false, hidden_act: "silu", mlp_bias: false },
  gemma3_text: {
    architectures: ["Gemma3ForCausalLM"],
    attention_bias: false,
    hidden_activation: "gelu_pytorch_tanh",
    query_pre_attn_scalar: 64,
    rope_local_base_freq: 10_000,
    sliding_window: 512,
    sliding_window_pattern: 6,
  },
  qwen2: {
    architectures: ["Qwen2ForCausalLM"],
    hidden_act: "silu",
    sliding_window: null,
    use_sliding_window: false,
  },
  mistral: { architectures: ["MistralForCausalLM"], hidden_act: "silu", sliding_window: 4096 },
};

/** The shape as the config.json that transformers and preftune read. */
export function configOf(shape: ModelShape): Record<string, unknown> {
  return {
    ...familyKeys[shape.family],
    model_type: shape.family,
    attention_dropout: 0,
    dtype: "float32",
    bos_token_id: 0,
    eos_token_id: 2,
    pad_token_id: 0,
    // Qwen2's heads have width / heads, and its class knows no key
    ...(shape.family === "qwen2" ? {} : { head_dim: shape.headWidth }),
    hidden_size: shape.width,
    initializer_range: 0.02,
    intermediate_size: shape.intermediate,
    max_position_embeddings: 4096,
    num_attention_heads: shape.heads,
    num_hidden_layers: shape.layers,
    num_key_value_heads: shape.keyValueHeads,
    rms_norm_eps: 1e-6,
    rope_theta: 1_000_000,
    tie_word_embeddings: true,
    vocab_size: shape.vocabulary,
  };
}

/** The shape as the planner takes it. */
export function modelConfigOf(shape: ModelShape): ModelConfig {
  return parseModelConfig(configOf(shape), "config.json");
}
