/** Dense layers and the embedding table. Weights may be kept in another type than the activations' (float32 masters). */
import type { Activation } from "../formats/model-config.ts";
import { type DType, inType, ops, type Tensor } from "../torch/index.ts";
import type { DenseProjection } from "./module.ts";

/** `weight` in the activations' type. */
export function cast(weight: Tensor, like: Tensor): Tensor {
  return inType(weight, like.dtype);
}

/** y = x Wᵀ + b. */
export class Linear implements DenseProjection {
  weight: Tensor;
  bias: Tensor | null;

  /**
   * @param weight - (out, in)
   * @param bias - (out) or null
   */
  constructor(weight: Tensor, bias: Tensor | null = null) {
    this.weight = weight;
    this.bias = bias;
  }

  get shape(): readonly [number, number] {
    return [this.weight.size(0), this.weight.size(1)];
  }

  get device(): string {
    return this.weight.device;
  }

  /** The weight itself, its copy in `dtype` where it has one, or a cast. */
  dense(dtype: DType): Tensor {
    return inType(this.weight, dtype);
  }

  /** x: (T, in) -> (T, out) */
  forward(x: Tensor): Tensor {
    return ops.linear(x, cast(this.weight, x), this.bias === null ? null : cast(this.bias, x));
  }

  /** (T, out) of act(gate) · up, both (T, in); the product is not kept for the backward pass. */
  ofGated(gate: Tensor, up: Tensor, activation: Activation): Tensor {
    const y = ops.gatedLinear(gate, up, cast(this.weight, gate), activation);
    return this.bias === null ? y : ops.add(y, cast(this.bias, gate));
  }
}

/** Rows of a table by token id. */
export class Embedding {
  weight: Tensor;
  readonly paddingRow: number | null;

  /**
   * @param weight - (V, D)
   * @param paddingRow - the row that tokens give no gradient, as `padding_idx` of torch's; null: there is none
   */
  constructor(weight: Tensor, paddingRow: number | null = null) {
    this.weight = weight;
    this.paddingRow = paddingRow;
  }

  /** The table that acts: what `forward` reads and training changes. */
  get table(): Tensor {
    return this.weight;
  }

  /** ids: (T) int64 -> (T, D) in the table's type */
  forward(ids: Tensor): Tensor {
    return ops.embedding(this.table, ids, this.paddingRow ?? -1);
  }
}
