/** Layers shared by the families, taken from a weight source under their checkpoint names. */
import { linearsByName } from "../formats/block-linears.ts";
import type { LinearName, ModelConfig } from "../formats/model-config.ts";
import { Attention } from "../nn/attention.ts";
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

/** A norm over `size` features. */
export function norm(weights: WeightSource, name: string, size: number, config: ModelConfig): RMSNorm {
  return new RMSNorm(weights(`${name}.weight`, [size]), config.rmsNormEps, config.design.normOffset);
}

/** `prefix.self_attn` */
export function attention(weights: WeightSource, prefix: string, config: ModelConfig): Attention {
  const { headDim, design } = config;
  const linear = denseLayers(weights, prefix, config);
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
  const linear = denseLayers(weights, prefix, config);
  return new Mlp(linear("gate_proj"), linear("up_proj"), linear("down_proj"), config.design.activation);
}
