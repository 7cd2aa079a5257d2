/**
 * Gemma 3, text: sliding and full layers with their own rotary bases, norms before and after each sub-layer, norm
 * weights stored as w − 1, GeGLU, embeddings scaled by √D (Gemma Team 2025, arXiv:2503.19786).
 */
import type { LayerKind, ModelConfig } from "../formats/model-config.ts";
import type { Attention } from "../nn/attention.ts";
import type { Mlp } from "../nn/mlp.ts";
import type { RMSNorm } from "../nn/rms-norm.ts";
import { ops, type Tensor } from "../torch/index.ts";
import { assemble, type BatchContext, type Block, type DecoderParts } from "./causal-lm.ts";
import { attention, mlp, type NormKind, norm } from "./parts.ts";
import type { WeightSource } from "./weights.ts";

/** A block with norms on both sides of attention and feed-forward. */
class SandwichBlock implements Block {
  self_attn: Attention;
  mlp: Mlp;
  input_layernorm: RMSNorm;
  post_attention_layernorm: RMSNorm;
  pre_feedforward_layernorm: RMSNorm;
  post_feedforward_layernorm: RMSNorm;
  readonly #kind: LayerKind;

  constructor(weights: WeightSource, config: ModelConfig, index: number) {
    const at = `model.layers.${index}`;
    const shifted: NormKind = { config, offset: 1 };
    const named = (name: string) => norm(weights, `${at}.${name}`, config.hiddenSize, shifted);
    this.self_attn = attention(weights, at, config, shifted);
    this.mlp = mlp(weights, at, config, "gelu_tanh");
    this.input_layernorm = named("input_layernorm");
    this.post_attention_layernorm = named("post_attention_layernorm");
    this.pre_feedforward_layernorm = named("pre_feedforward_layernorm");
    this.post_feedforward_layernorm = named("post_feedforward_layernorm");
    this.#kind = config.layerKinds[index] ?? "full";
  }

  forward(h: Tensor, context: BatchContext): Tensor {
    const attended = this.self_attn.forward(this.input_layernorm.forward(h), context[this.#kind]);
    const middle = ops.add(h, this.post_attention_layernorm.forward(attended));
    const fed = this.mlp.forward(this.pre_feedforward_layernorm.forward(middle));
    return ops.add(middle, this.post_feedforward_layernorm.forward(fed));
  }
}

/** The parts of a Gemma 3 text model from `weights`. */
export function buildGemma3(config: ModelConfig, weights: WeightSource): DecoderParts {
  return assemble(config, weights, {
    block: (index) => new SandwichBlock(weights, config, index),
    norm: norm(weights, "model.norm", config.hiddenSize, { config, offset: 1 }),
    traits: { embedScale: Math.sqrt(config.hiddenSize) },
  });
}
