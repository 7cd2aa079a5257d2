/** Layers shared by the families, taken from a weight source under their checkpoint names. */
import { type LinearName, linearsByName } from "../formats/block-linears.ts";
import type { ModelConfig } from "../formats/model-config.ts";
import { Attention } from "../nn/attention.ts";
import type { Activation } from "../nn/linear.ts";
import { Linear } from "../nn/linear.ts";
import { Mlp } from "../nn/mlp.ts";
import { RMSNorm } from "../nn/rms-norm.ts";
import type { WeightSource } from "./weights.ts";

/** The dense layers of the block at `prefix` by their names: `weight` (out, in) and, where the family has it, `bias` (out). */
function denseLayers(
  weights: WeightSource,
  prefix: string,
  config: ModelConfig,
): (name: LinearName) => Linear {
  const linears = linearsByName(config);
  return (name) => {
    const { path, inputs, outputs, hasBias } = linears[name];
    const weight = weights(`${prefix}.${path}.weight`, [outputs, inputs]);
    return new Linear(weight, hasBias ? weights(`${prefix}.${path}.bias`, [outputs]) : null);
  };
}

/** A norm over `size` features; `offset` 1 for Gemma, whose checkpoints store w − 1. */
export function norm(
  weights: WeightSource,
  name: string,
  size: number,
  { config, offset }: NormKind,
): RMSNorm {
  return new RMSNorm(weights(`${name}.weight`, [size]), config.rmsNormEps, offset);
}

/** Constants of a family's norms. */
export interface NormKind {
  config: ModelConfig;
  offset: 0 | 1;
}

/** `prefix.self_attn`; `headNorm` says how q and k are normalised per head, null for families that do not. */
export function attention(
  weights: WeightSource,
  prefix: string,
  config: ModelConfig,
  headNorm: NormKind | null,
): Attention {
  const { headDim } = config;
  const linear = denseLayers(weights, prefix, config);
  const headNorms = (name: string) =>
    headNorm === null ? null : norm(weights, `${prefix}.self_attn.${name}`, headDim, headNorm);
  const parts = {
    q_proj: linear("q_proj"),
    k_proj: linear("k_proj"),
    v_proj: linear("v_proj"),
    o_proj: linear("o_proj"),
    q_norm: headNorms("q_norm"),
    k_norm: headNorms("k_norm"),
  };
  return new Attention(parts, headDim);
}

/** `prefix.mlp` */
export function mlp(weights: WeightSource, prefix: string, config: ModelConfig, activation: Activation): Mlp {
  const linear = denseLayers(weights, prefix, config);
  return new Mlp(linear("gate_proj"), linear("up_proj"), linear("down_proj"), activation);
}
