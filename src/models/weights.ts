/** Where a model's tensors come from while it is built: a checkpoint, a random start, or shapes alone. */
import type { Projection } from "../nn/module.ts";
import { ops, type Tensor } from "../torch/index.ts";

/** Where tensors come from. */
export interface WeightSource {
  /**
   * Gives the tensor called `name`, which must have `shape`.
   *
   * @throws {FormatError} if there is none or its shape differs
   */
  (name: string, shape: readonly number[]): Tensor;
  /** The linear of a block at `path` where it is held as no matrix; null, or left out: it is one, of the tensor `path`.weight. */
  linear?: (
    path: string,
    shape: readonly [out: number, input: number],
    bias: Tensor | null,
  ) => Projection | null;
}

/**
 * Random weights as transformers starts a model: matrices normal with the given standard deviation, norms and factors neutral.
 * Drawn from torch's default generator, so `manualSeed` makes them reproducible.
 *
 * @param deviation - `initializer_range` of the config, usually 0.02
 * @param neutralNorm - what a norm's stored weight is when it does nothing: 1, or 0 where w − 1 is stored
 */
export function randomWeights(deviation: number, neutralNorm: 0 | 1): WeightSource {
  return (name, shape) => {
    if (name.endsWith("norm.weight") || name.endsWith("layernorm.weight")) {
      return ops.full(shape, neutralNorm, { dtype: "float32" });
    }
    if (name.endsWith("layer_scalar")) return ops.full(shape, 1, { dtype: "float32" });
    const empty = ops.zeros(shape, { dtype: "float32" });
    return name.endsWith(".bias") ? empty : ops.normal_(empty, 0, deviation);
  };
}

/** Tensors without data, to check shapes and count parameters of models of any size. */
export function metaWeights(): WeightSource {
  return (_name, shape) => ops.zeros(shape, { dtype: "float32", device: "meta" });
}
