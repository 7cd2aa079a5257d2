/** The two models the benchmark trains: Qwen3-like, small enough for a CPU, one with an ordinary vocabulary and one with a big one. */
import { parseModelConfig } from "../../src/formats/hf-config.ts";
import type { ModelConfig } from "../../src/formats/model-config.ts";

/** The sizes of a decoder with gated feed-forward layers and grouped queries. */
export interface ModelShape {
  layers: number;
  width: number;
  intermediate: number;
  heads: number;
  keyValueHeads: number;
  headWidth: number;
  vocabulary: number;
}

/** Shapes by the name `--model` takes. */
export const shapes: Record<string, ModelShape> = {
  bench: {
    layers: 10,
    width: 384,
    intermediate: 1152,
    heads: 6,
    keyValueHeads: 2,
    headWidth: 64,
    vocabulary: 32_000,
  },
  bigvocab: {
    layers: 4,
    width: 256,
    intermediate: 768,
    heads: 4,
    keyValueHeads: 2,
    headWidth: 64,
    vocabulary: 151_936,
  },
};

/** The shape named so: one of `shapes`, or "vocab-N", `bigvocab` with a vocabulary of N. */
export function shapeNamed(name: string): ModelShape | null {
  const size = /^vocab-(\d+)$/.exec(name)?.[1];
  if (size !== undefined) return { ...(shapes["bigvocab"] as ModelShape), vocabulary: Number(size) };
  return shapes[name] ?? null;
}

/** The shape as the config.json that transformers and preftune read. */
export function configOf(shape: ModelShape): Record<string, unknown> {
  return {
    architectures: ["Qwen3ForCausalLM"],
    model_type: "qwen3",
    attention_bias: false,
    attention_dropout: 0,
    dtype: "float32",
    bos_token_id: 0,
    eos_token_id: 2,
    pad_token_id: 0,
    head_dim: shape.headWidth,
    hidden_act: "silu",
    hidden_size: shape.width,
    initializer_range: 0.02,
    intermediate_size: shape.intermediate,
    max_position_embeddings: 4096,
    num_attention_heads: shape.heads,
    num_hidden_layers: shape.layers,
    num_key_value_heads: shape.keyValueHeads,
    rms_norm_eps: 1e-6,
    rope_scaling: null,
    rope_theta: 1_000_000,
    sliding_window: null,
    tie_word_embeddings: true,
    use_sliding_window: false,
    vocab_size: shape.vocabulary,
  };
}

/** The shape as the planner takes it. */
export function modelConfigOf(shape: ModelShape): ModelConfig {
  return parseModelConfig(configOf(shape), "config.json");
}
