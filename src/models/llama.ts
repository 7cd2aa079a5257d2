/** Llama 3: pre-norm blocks, SwiGLU, grouped-query attention (Grattafiori et al. 2024, arXiv:2407.21783). */
import type { LayerKind, ModelConfig } from "../formats/model-config.ts";
import type { Attention } from "../nn/attention.ts";
import type { Mlp } from "../nn/mlp.ts";
import type { RMSNorm } from "../nn/rms-norm.ts";
import { ops, type Tensor } from "../torch/index.ts";
import { assemble, type BatchContext, type Block, type DecoderParts } from "./causal-lm.ts";
import { attention, mlp, type NormKind, norm } from "./parts.ts";
import type { WeightSource } from "./weights.ts";

/** A pre-norm block: h + attention(norm(h)), then h + mlp(norm(h)). Qwen3 has the same with normalised q and k. */
export class PreNormBlock implements Block {
  self_attn: Attention;
  mlp: Mlp;
  input_layernorm: RMSNorm;
  post_attention_layernorm: RMSNorm;
  readonly #kind: LayerKind;

  /** @param headNorm - norms of q and k, null for none */
  constructor(weights: WeightSource, config: ModelConfig, index: number, headNorm: NormKind | null) {
    const at = `model.layers.${index}`;
    const plain: NormKind = { config, offset: 0 };
    this.self_attn = attention(weights, at, config, headNorm);
    this.mlp = mlp(weights, at, config, "silu");
    this.input_layernorm = norm(weights, `${at}.input_layernorm`, config.hiddenSize, plain);
    this.post_attention_layernorm = norm(weights, `${at}.post_attention_layernorm`, config.hiddenSize, plain);
    this.#kind = config.layerKinds[index] ?? "full";
  }

  forward(h: Tensor, context: BatchContext): Tensor {
    const attended = ops.add(h, this.self_attn.forward(this.input_layernorm.forward(h), context[this.#kind]));
    return ops.add(attended, this.mlp.forward(this.post_attention_layernorm.forward(attended)));
  }
}

/** The parts of a Llama model from `weights`. */
export function buildLlama(config: ModelConfig, weights: WeightSource): DecoderParts {
  return assemble(config, weights, {
    block: (index) => new PreNormBlock(weights, config, index, null),
    norm: norm(weights, "model.norm", config.hiddenSize, { config, offset: 0 }),
    traits: { embedScale: 1 },
  });
}
