/** Layers shared by the families, taken from a weight source under their checkpoint names. */
import { linearsByName } from "../formats/block-linears.ts";
import type { LinearName, ModelConfig } from "../formats/model-config.ts";
import { Attention } from "../nn/attention.ts";
import { Linear } from "../nn/linear.ts";
import { Mlp } from "../nn/mlp.ts";
import type { Projection } from "../nn/module.ts";
import { RMSNorm } from "../nn/rms-norm.ts";
import type { WeightSource } from "./weights.ts";

/** The linears of the block at `prefix` by their names: `weight` (out, in) and, where the family has it, `bias` (out). */
function linearLayers(
  weights: WeightSource,
  prefix: string,
  config: ModelConfig,
): (name: LinearName) => Projection {
  const linears = linearsByName(config);
  return (name) => {
    const { path, inputs, outputs, hasBias } = linears[name];
    const place = `${prefix}.${path}`;
    const shape = [outputs, inputs] as const;
    const biasOf = () => (hasBias ? weights(`${place}.bias`, [outputs]) : null);
    if (weights.linear === undefined) return new Linear(weights(`${place}.weight`, shape), biasOf());
    const bias = biasOf();
    return weights.linear(place, shape, bias) ?? new Linear(weights(`${place}.weight`, shape), bias);
  };
}

/** A norm over `size` features. */
export function norm(weights: WeightSource, name: string, size: number, config: ModelConfig): RMSNorm {
  return new RMSNorm(weights(`${name}.weight`, [size]), config.rmsNormEps, config.design.normOffset);
}

/** `prefix.self_attn` */
export function attention(weights: WeightSource, prefix: string, config: ModelConfig): Attention {
  const { headDim, design } = config;
  const linear = linearLayers(weights, prefix, config);
  const headNorm = (name: string) =>
    design.queryKeyNorms === "none" ? null : norm(weights, `${prefix}.self_attn.${name}`, headDim, config);
  const parts = {
    q_proj: linear("q_proj"),
    k_proj: linear("k_proj"),
    v_proj: linear("v_proj"),
    o_proj: linear("o_proj"),
    q_norm: headNorm("q_norm"),
    k_norm: headNorm("k_norm"),
  };
  return new Attention(parts, headDim);
}

/** `prefix.mlp` */
export function mlp(weights: WeightSource, prefix: string, config: ModelConfig): Mlp {
  const linear = linearLayers(weights, prefix, config);
  return new Mlp(linear("gate_proj"), linear("up_proj"), linear("down_proj"), config.design.activation);
}
