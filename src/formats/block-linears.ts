/** The linears of a decoder block, as the families in `src/models` have them: names, widths and how many weights. */
import type { ModelConfig } from "./model-config.ts";

/** Name of a block's linear, the last part of its path. */
export type LinearName = "q_proj" | "k_proj" | "v_proj" | "o_proj" | "gate_proj" | "up_proj" | "down_proj";

/** A linear of every block. */
export interface BlockLinear {
  name: LinearName;
  /** Its path inside a block, e.g. "self_attn.q_proj". */
  path: string;
  inputs: number;
  outputs: number;
  hasBias: boolean;
}

/** The seven linears of a block. */
export function blockLinears(config: ModelConfig): BlockLinear[] {
  const { hiddenSize: width, intermediateSize, attentionBias, mlpBias } = config;
  const queries = config.numHeads * config.headDim;
  const keys = config.numKeyValueHeads * config.headDim;
  const attention = (name: LinearName, inputs: number, outputs: number): BlockLinear => ({
    name,
    path: `self_attn.${name}`,
    inputs,
    outputs,
    hasBias: attentionBias,
  });
  const mlp = (name: LinearName, inputs: number, outputs: number): BlockLinear => ({
    name,
    path: `mlp.${name}`,
    inputs,
    outputs,
    hasBias: mlpBias,
  });
  return [
    attention("q_proj", width, queries),
    attention("k_proj", width, keys),
    attention("v_proj", width, keys),
    attention("o_proj", queries, width),
    mlp("gate_proj", width, intermediateSize),
    mlp("up_proj", width, intermediateSize),
    mlp("down_proj", intermediateSize, width),
  ];
}

/** Weights of one block's linears, biases left out. */
export function blockWeights(config: ModelConfig): number {
  return blockLinears(config).reduce((sum, { inputs, outputs }) => sum + inputs * outputs, 0);
}

/** Path in the model of a block's linear. */
export function linearPath(layer: number, linear: BlockLinear): string {
  return `model.layers.${layer}.${linear.path}`;
}
