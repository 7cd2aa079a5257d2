/** The linears of a decoder block: models are built of these shapes and plans count by them. */
import { headsOf, kindOf, type LinearName, type ModelConfig } from "./model-config.ts";

/** What a linear does in its block: those of one role have one input. */
export type LinearRole = "attention in" | "attention out" | "mlp in" | "mlp out";

/** A linear of a block. */
export interface BlockLinear {
  name: LinearName;
  role: LinearRole;
  /** Its path inside a block, e.g. "self_attn.q_proj". */
  path: string;
  inputs: number;
  outputs: number;
  hasBias: boolean;
}

/** The linears of block `layer`, in the order of a checkpoint. */
export function blockLinears(config: ModelConfig, layer: number): BlockLinear[] {
  const { hiddenSize: width, intermediateSize: inner, design } = config;
  const kind = kindOf(config, layer);
  const { headDim, numKeyValueHeads } = headsOf(config, kind);
  const queries = config.numHeads * headDim;
  const keys = numKeyValueHeads * headDim;
  const linear = (role: LinearRole, name: LinearName, inputs: number, outputs: number): BlockLinear => {
    const module = role.startsWith("attention")
      ? "self_attn"
      : design.linears === "shared-mlp"
        ? "shared_mlp"
        : "mlp";
    const hasBias = design.biases.includes(name);
    return { name, role, path: `${module}.${name}`, inputs, outputs, hasBias };
  };
  const attention =
    design.linears === "fused"
      ? [linear("attention in", "qkv_proj", width, queries + 2 * keys)]
      : [
          linear("attention in", "q_proj", width, queries),
          linear("attention in", "k_proj", width, keys),
          ...(design.keysAreValues && kind === "full" ? [] : [linear("attention in", "v_proj", width, keys)]),
        ];
  const mlp = {
    separate: [
      linear("mlp in", "gate_proj", width, inner),
      linear("mlp in", "up_proj", width, inner),
      linear("mlp out", "down_proj", inner, width),
    ],
    fused: [linear("mlp in", "gate_up_proj", width, 2 * inner), linear("mlp out", "down_proj", inner, width)],
    "shared-mlp": [
      linear("mlp in", "input_linear", width, 2 * inner),
      linear("mlp out", "output_linear", inner, width),
    ],
  };
  return [...attention, linear("attention out", "o_proj", queries, width), ...mlp[design.linears]];
}

/** Weights of a block's linears, biases left out. */
function blockWeights(config: ModelConfig, layer: number): number {
  return blockLinears(config, layer).reduce((sum, { inputs, outputs }) => sum + inputs * outputs, 0);
}

/** The same of each block. */
export function weightsOfBlocks(config: ModelConfig): number[] {
  return config.layerKinds.map((_, layer) => blockWeights(config, layer));
}

/** Path in the model of a block's linear. */
export function linearPath(layer: number, linear: BlockLinear): string {
  return `model.layers.${layer}.${linear.path}`;
}
