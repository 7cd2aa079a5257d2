/** Layers shared by the families, taken from a weight source under their checkpoint names. */
import { type BlockLinear, blockLinears, linearPath } from "../formats/block-linears.ts";
import { headsOf, kindOf, type LinearName, type ModelConfig } from "../formats/model-config.ts";
import { Attention, FusedAttention } from "../nn/attention.ts";
import { Linear } from "../nn/linear.ts";
import { type FeedForward, FusedMlp, Mlp, SharedMlp } from "../nn/mlp.ts";
import type { Projection } from "../nn/module.ts";
import { RMSNorm } from "../nn/rms-norm.ts";
import type { Tensor } from "../torch/index.ts";
import type { WeightSource } from "./weights.ts";

/** Where a block's tensors come from. */
export interface BlockParts {
  weights: WeightSource;
  config: ModelConfig;
  index: number;
}

/** The linears of a block by their names: `weight` (out, in) and, where the design has it, `bias` (out). */
function linearLayers({ weights, config, index }: BlockParts): (name: LinearName) => Projection {
  const linears = blockLinears(config, index);
  return (name) => {
    const linear = linears.find((one) => one.name === name) as BlockLinear;
    const { inputs, outputs, hasBias } = linear;
    const place = linearPath(index, linear);
    const shape = [outputs, inputs] as const;
    const biasOf = () => (hasBias ? weights(`${place}.bias`, [outputs]) : null);
    if (weights.linear === undefined) return new Linear(weights(`${place}.weight`, shape), biasOf());
    const bias = biasOf();
    return weights.linear(place, shape, bias) ?? new Linear(weights(`${place}.weight`, shape), bias);
  };
}

/** A norm over `size` features; `scale` is a factor on its result. */
export function norm(
  { weights, config }: Omit<BlockParts, "index">,
  name: string,
  size: number,
  scale: number = 1,
): RMSNorm {
  return new RMSNorm(weights(`${name}.weight`, [size]), config.rmsNormEps, config.design.normOffset, scale);
}

/** `self_attn` of a block. */
export function attention(parts: BlockParts): Attention | FusedAttention {
  const { config, index } = parts;
  const { numHeads, design } = config;
  const kind = kindOf(config, index);
  const { headDim, numKeyValueHeads } = headsOf(config, kind);
  const linear = linearLayers(parts);
  const headNorm = (name: string, heads: number) => {
    if (design.queryKeyNorms === "none") return null;
    const size = design.queryKeyNorms === "head" ? headDim : heads * headDim;
    return norm(parts, `model.layers.${index}.self_attn.${name}`, size);
  };
  const norms = () => ({
    q_norm: headNorm("q_norm", numHeads),
    k_norm: headNorm("k_norm", numKeyValueHeads),
  });
  const layout = {
    heads: numHeads,
    keyHeads: numKeyValueHeads,
    headDim,
    rotates: !design.unrotatedLayers.includes(index),
    valueEps: design.valueNorms ? config.rmsNormEps : null,
  };
  if (design.linears === "fused") {
    const projections = { qkv_proj: linear("qkv_proj"), o_proj: linear("o_proj") };
    return new FusedAttention({ ...projections, ...norms() }, layout);
  }
  const projections = {
    q_proj: linear("q_proj"),
    k_proj: linear("k_proj"),
    v_proj: design.keysAreValues && kind === "full" ? null : linear("v_proj"),
    o_proj: linear("o_proj"),
  };
  return new Attention({ ...projections, ...norms() }, layout);
}

/** `layer_scalar` of a block, (1), or null. */
export function layerFactor({ weights, config, index }: BlockParts): Tensor | null {
  return config.design.layerFactors ? weights(`model.layers.${index}.layer_scalar`, [1]) : null;
}

/** `mlp` or `shared_mlp` of a block. */
export function feedForward(parts: BlockParts): FeedForward {
  const linear = linearLayers(parts);
  const { linears, activation } = parts.config.design;
  switch (linears) {
    case "separate":
      return new Mlp(linear("gate_proj"), linear("up_proj"), linear("down_proj"), activation);
    case "fused":
      return new FusedMlp(linear("gate_up_proj"), linear("down_proj"), activation);
    case "shared-mlp":
      return new SharedMlp(linear("input_linear"), linear("output_linear"), activation);
  }
}
