/** The models that the benchmark trains on a GPU: Llama's shapes of 1 and 8 billion parameters, with random weights made in the run. */
import { parseModelConfig } from "../../src/formats/hf-config.ts";
import type { ModelConfig } from "../../src/formats/model-config.ts";
import type { WeightSource } from "../../src/models/weights.ts";
import { FourBitLinear, quantiseFourBits } from "../../src/nn/quantised-linear.ts";
import { type DType, ops, type Tensor } from "../../src/torch/index.ts";

interface LlamaShape {
  layers: number;
  width: number;
  intermediate: number;
  headWidth: number;
  tied: boolean;
}

/** Names that `--model` takes: Llama 3.2 1B and Llama 3.1 8B, 32 heads, 8 of keys and values, 128,256 tokens; "tiny" to try the program. */
export const gpuShapes: Record<string, LlamaShape> = {
  tiny: { layers: 2, width: 1024, intermediate: 2048, headWidth: 32, tied: true },
  "1b": { layers: 16, width: 2048, intermediate: 8192, headWidth: 64, tied: true },
  "8b": { layers: 32, width: 4096, intermediate: 14_336, headWidth: 128, tied: false },
};

/** The shape as the config.json that transformers and preftune read. */
export function gpuConfigOf(name: string): Record<string, unknown> {
  const shape = gpuShapes[name] as LlamaShape;
  return {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    attention_bias: false,
    attention_dropout: 0,
    bos_token_id: 0,
    eos_token_id: 2,
    pad_token_id: 0,
    head_dim: shape.headWidth,
    hidden_act: "silu",
    hidden_size: shape.width,
    initializer_range: 0.02,
    intermediate_size: shape.intermediate,
    max_position_embeddings: 8192,
    mlp_bias: false,
    num_attention_heads: 32,
    num_hidden_layers: shape.layers,
    num_key_value_heads: 8,
    rms_norm_eps: 1e-5,
    rope_scaling: null,
    rope_theta: 500_000,
    tie_word_embeddings: shape.tied,
    vocab_size: 128_256,
  };
}

/** The shape as the planner takes it. */
export function gpuModelConfig(name: string): ModelConfig {
  return parseModelConfig(gpuConfigOf(name), "config.json");
}

function drawn(shape: readonly number[], dtype: DType, device: string): Tensor {
  return ops.normal_(ops.zeros(shape, { dtype, device }), 0, 0.02);
}

/** Random weights drawn on the device itself: norms 1, matrices normal. `inFourBits`: linears in NF4, doubly quantised. */
export function weightsOn(device: string, dtype: DType, inFourBits: boolean = false): WeightSource {
  const source: WeightSource = (_name, shape) =>
    shape.length === 1 ? ops.full(shape, 1, { dtype, device }) : drawn(shape, dtype, device);
  if (!inFourBits) return source;
  const how = { quantType: "nf4", doubleQuant: true } as const;
  source.linear = (_path, shape, bias) =>
    new FourBitLinear(
      shape,
      bias,
      quantiseFourBits(shape, how, device, (from, to) => drawn([to - from], "float32", device)),
    );
  return source;
}
