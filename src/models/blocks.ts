/** The blocks of a decoder: how attention, feed-forward layer and norms hang together. */
import type { LayerKind, ModelConfig } from "../formats/model-config.ts";
import type { Attention } from "../nn/attention.ts";
import type { Mlp } from "../nn/mlp.ts";
import type { RMSNorm } from "../nn/rms-norm.ts";
import { ops, type Tensor } from "../torch/index.ts";
import type { BatchContext, Block } from "./causal-lm.ts";
import { attention, mlp, norm } from "./parts.ts";
import type { WeightSource } from "./weights.ts";

/** Block `index` of a model of this design. */
export function blockOf(weights: WeightSource, config: ModelConfig, index: number): Block {
  const parts: BlockParts = { weights, config, index };
  return config.design.norms === "before" ? new PreNormBlock(parts) : new SandwichBlock(parts);
}

interface BlockParts {
  weights: WeightSource;
  config: ModelConfig;
  index: number;
}

/** What all blocks are made of, and a norm by its name. */
function partsOf({ weights, config, index }: BlockParts): {
  self_attn: Attention;
  mlp: Mlp;
  named: (name: string) => RMSNorm;
  kind: LayerKind;
} {
  const at = `model.layers.${index}`;
  return {
    self_attn: attention(weights, at, config),
    mlp: mlp(weights, at, config),
    named: (name) => norm(weights, `${at}.${name}`, config.hiddenSize, config),
    kind: config.layerKinds[index] ?? "full",
  };
}

/** h + attention(norm(h)), then h + mlp(norm(h)). */
class PreNormBlock implements Block {
  self_attn: Attention;
  mlp: Mlp;
  input_layernorm: RMSNorm;
  post_attention_layernorm: RMSNorm;
  readonly #kind: LayerKind;

  constructor(parts: BlockParts) {
    const { self_attn, mlp, named, kind } = partsOf(parts);
    this.self_attn = self_attn;
    this.mlp = mlp;
    this.input_layernorm = named("input_layernorm");
    this.post_attention_layernorm = named("post_attention_layernorm");
    this.#kind = kind;
  }

  forward(h: Tensor, context: BatchContext): Tensor {
    const attended = ops.add(h, this.self_attn.forward(this.input_layernorm.forward(h), context[this.#kind]));
    return ops.add(attended, this.mlp.forward(this.post_attention_layernorm.forward(attended)));
  }
}

/** h + norm(attention(norm(h))), then h + norm(mlp(norm(h))). */
class SandwichBlock implements Block {
  self_attn: Attention;
  mlp: Mlp;
  input_layernorm: RMSNorm;
  post_attention_layernorm: RMSNorm;
  pre_feedforward_layernorm: RMSNorm;
  post_feedforward_layernorm: RMSNorm;
  readonly #kind: LayerKind;

  constructor(parts: BlockParts) {
    const { self_attn, mlp, named, kind } = partsOf(parts);
    this.self_attn = self_attn;
    this.mlp = mlp;
    this.input_layernorm = named("input_layernorm");
    this.post_attention_layernorm = named("post_attention_layernorm");
    this.pre_feedforward_layernorm = named("pre_feedforward_layernorm");
    this.post_feedforward_layernorm = named("post_feedforward_layernorm");
    this.#kind = kind;
  }

  forward(h: Tensor, context: BatchContext): Tensor {
    const attended = this.self_attn.forward(this.input_layernorm.forward(h), context[this.#kind]);
    const middle = ops.add(h, this.post_attention_layernorm.forward(attended));
    const fed = this.mlp.forward(this.pre_feedforward_layernorm.forward(middle));
    return ops.add(middle, this.post_feedforward_layernorm.forward(fed));
  }
}
