/** Layers shared by the families, taken from a weight source under their checkpoint names. */
import type { ModelConfig } from "../formats/model-config.ts";
import { Attention } from "../nn/attention.ts";
import type { Activation } from "../nn/linear.ts";
import { Linear } from "../nn/linear.ts";
import { Mlp } from "../nn/mlp.ts";
import { RMSNorm } from "../nn/rms-norm.ts";
import type { WeightSource } from "./weights.ts";

/** A dense layer `name.weight` (out, in) and, if `hasBias`, `name.bias` (out). */
function linear(
  weights: WeightSource,
  name: string,
  [out, input]: readonly [number, number],
  hasBias = false,
): Linear {
  return new Linear(weights(`${name}.weight`, [out, input]), hasBias ? weights(`${name}.bias`, [out]) : null);
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
  const { hiddenSize, headDim, attentionBias: bias } = config;
  const queries = config.numHeads * headDim;
  const keys = config.numKeyValueHeads * headDim;
  const at = `${prefix}.self_attn`;
  const parts = {
    q_proj: linear(weights, `${at}.q_proj`, [queries, hiddenSize], bias),
    k_proj: linear(weights, `${at}.k_proj`, [keys, hiddenSize], bias),
    v_proj: linear(weights, `${at}.v_proj`, [keys, hiddenSize], bias),
    o_proj: linear(weights, `${at}.o_proj`, [hiddenSize, queries], bias),
    q_norm: headNorm === null ? null : norm(weights, `${at}.q_norm`, headDim, headNorm),
    k_norm: headNorm === null ? null : norm(weights, `${at}.k_norm`, headDim, headNorm),
  };
  return new Attention(parts, headDim);
}

/** `prefix.mlp` */
export function mlp(weights: WeightSource, prefix: string, config: ModelConfig, activation: Activation): Mlp {
  const { hiddenSize, intermediateSize, mlpBias: bias } = config;
  const at = `${prefix}.mlp`;
  return new Mlp(
    linear(weights, `${at}.gate_proj`, [intermediateSize, hiddenSize], bias),
    linear(weights, `${at}.up_proj`, [intermediateSize, hiddenSize], bias),
    linear(weights, `${at}.down_proj`, [hiddenSize, intermediateSize], bias),
    activation,
  );
}
