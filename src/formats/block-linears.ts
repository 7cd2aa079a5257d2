/** The linears of a decoder block, the same in every family: models are built of these shapes and plans count by them. */
import type { LinearName, ModelConfig } from "./model-config.ts";

/** A linear of every block. */
export interface BlockLinear {
  name: LinearName;
  /** Its path inside a block, e.g. "self_attn.q_proj". */
  path: string;
  inputs: number;
  outputs: number;
  hasBias: boolean;
}

/** The seven linears of a block by name, in the order of a checkpoint. */
export function linearsByName(config: ModelConfig): Record<LinearName, BlockLinear> {
  const { hiddenSize: width, intermediateSize: inner, design } = config;
  const queries = config.numHeads * config.headDim;
  const keys = config.numKeyValueHeads * config.headDim;
  const attention = (name: LinearName, inputs: number, outputs: number): BlockLinear => {
    return { name, path: `self_attn.${name}`, inputs, outputs, hasBias: design.biases.includes(name) };
  };
  const mlp = (name: LinearName, inputs: number, outputs: number): BlockLinear => {
    return { name, path: `mlp.${name}`, inputs, outputs, hasBias: design.biases.includes(name) };
  };
  return {
    q_proj: attention("q_proj", width, queries),
    k_proj: attention("k_proj", width, keys),
    v_proj: attention("v_proj", width, keys),
    o_proj: attention("o_proj", queries, width),
    gate_proj: mlp("gate_proj", width, inner),
    up_proj: mlp("up_proj", width, inner),
    down_proj: mlp("down_proj", inner, width),
  };
}

/** The seven linears of a block. */
export function blockLinears(config: ModelConfig): BlockLinear[] {
  return Object.values(linearsByName(config));
}

/** Weights of one block's linears, biases left out. */
export function blockWeights(config: ModelConfig): number {
  return blockLinears(config).reduce((sum, { inputs, outputs }) => sum + inputs * outputs, 0);
}

/** Path in the model of a block's linear. */
export function linearPath(layer: number, linear: BlockLinear): string {
  return `model.layers.${layer}.${linear.path}`;
}
