/** The blocks of a decoder: how attention, feed-forward layer and norms hang together. */
import { type DecoderDesign, kindOf, type LayerKind } from "../formats/model-config.ts";
import type { Attention, FusedAttention } from "../nn/attention.ts";
import type { FeedForward } from "../nn/mlp.ts";
import type { RMSNorm } from "../nn/rms-norm.ts";
import { ops, type Tensor } from "../torch/index.ts";
import type { BatchContext, Block } from "./causal-lm.ts";
import { attention, type BlockParts, feedForward, layerFactor, norm } from "./parts.ts";

/** A block of a model of this design. */
export function blockOf(parts: BlockParts): Block {
  const kinds: Record<DecoderDesign["norms"], new (of: BlockParts) => Block> = {
    before: PreNormBlock,
    after: PostNormBlock,
    around: SandwichBlock,
  };
  return new kinds[parts.config.design.norms](parts);
}

/** What all blocks have. */
export abstract class DecoderBlock implements Block {
  self_attn: Attention | FusedAttention;
  mlp: FeedForward | null;
  shared_mlp: FeedForward | null;
  readonly #kind: LayerKind;
  readonly #residual: { alpha: number };

  constructor(parts: BlockParts) {
    const { config, index } = parts;
    this.self_attn = attention(parts);
    const isShared = config.design.linears === "shared-mlp";
    const layer = feedForward(parts);
    this.mlp = isShared ? null : layer;
    this.shared_mlp = isShared ? layer : null;
    this.#kind = kindOf(config, index);
    this.#residual = { alpha: config.design.residualScale };
  }

  /** Tensors that the checkpoint has and that are never trained, by their names in the block. */
  get fixed(): Readonly<Record<string, Tensor>> {
    return {};
  }

  abstract forward(h: Tensor, context: BatchContext): Tensor;

  protected attended(x: Tensor, context: BatchContext): Tensor {
    return this.self_attn.forward(x, context[this.#kind]);
  }

  protected fed(x: Tensor): Tensor {
    return (this.mlp ?? (this.shared_mlp as FeedForward)).forward(x);
  }

  /** The stream h with what a part adds to it. */
  protected with(h: Tensor, change: Tensor): Tensor {
    return ops.add(h, change, this.#residual);
  }
}

/** A norm of the stream. */
function named(parts: BlockParts, name: string): RMSNorm {
  return norm(parts, `model.layers.${parts.index}.${name}`, parts.config.hiddenSize);
}

/** h + attention(norm(h)), then h + mlp(norm(h)). */
class PreNormBlock extends DecoderBlock {
  input_layernorm: RMSNorm;
  post_attention_layernorm: RMSNorm;

  constructor(parts: BlockParts) {
    super(parts);
    this.input_layernorm = named(parts, "input_layernorm");
    this.post_attention_layernorm = named(parts, "post_attention_layernorm");
  }

  forward(h: Tensor, context: BatchContext): Tensor {
    const middle = this.with(h, this.attended(this.input_layernorm.forward(h), context));
    return this.with(middle, this.fed(this.post_attention_layernorm.forward(middle)));
  }
}

/** h + norm(attention(h)), then h + norm(mlp(h)). */
class PostNormBlock extends DecoderBlock {
  post_attention_layernorm: RMSNorm;
  post_feedforward_layernorm: RMSNorm;

  constructor(parts: BlockParts) {
    super(parts);
    this.post_attention_layernorm = named(parts, "post_attention_layernorm");
    this.post_feedforward_layernorm = named(parts, "post_feedforward_layernorm");
  }

  forward(h: Tensor, context: BatchContext): Tensor {
    const middle = this.with(h, this.post_attention_layernorm.forward(this.attended(h, context)));
    return this.with(middle, this.post_feedforward_layernorm.forward(this.fed(middle)));
  }
}

/** h + norm(attention(norm(h))), then h + norm(mlp(norm(h))); all of it times the layer's factor, where there is one. */
class SandwichBlock extends DecoderBlock {
  input_layernorm: RMSNorm;
  post_attention_layernorm: RMSNorm;
  pre_feedforward_layernorm: RMSNorm;
  post_feedforward_layernorm: RMSNorm;
  /** (1) */
  layer_scalar: Tensor | null;

  constructor(parts: BlockParts) {
    super(parts);
    this.layer_scalar = layerFactor(parts);
    this.input_layernorm = named(parts, "input_layernorm");
    this.post_attention_layernorm = named(parts, "post_attention_layernorm");
    this.pre_feedforward_layernorm = named(parts, "pre_feedforward_layernorm");
    this.post_feedforward_layernorm = named(parts, "post_feedforward_layernorm");
  }

  override get fixed(): Readonly<Record<string, Tensor>> {
    return this.layer_scalar === null ? {} : { layer_scalar: this.layer_scalar };
  }

  forward(h: Tensor, context: BatchContext): Tensor {
    const attended = this.attended(this.input_layernorm.forward(h), context);
    const middle = this.with(h, this.post_attention_layernorm.forward(attended));
    const fed = this.fed(this.pre_feedforward_layernorm.forward(middle));
    const last = this.with(middle, this.post_feedforward_layernorm.forward(fed));
    const { layer_scalar: factor } = this;
    return factor === null
      ? last
      : ops.mul(last, factor.dtype === last.dtype ? factor : ops.to(factor, last.dtype));
  }
}
