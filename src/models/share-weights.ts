/** Several models on one set of weights, each with its own adapter. */
import { FormatError } from "../base/errors.ts";
import { namedTensors } from "../nn/module.ts";
import { buildModel } from "./build.ts";
import type { CausalLM } from "./causal-lm.ts";

/**
 * A second model with its own modules on the same tensors as `base`, which has no adapter.
 *
 * @throws {FormatError} if `base` lacks a tensor of its family, as one with an adapter may
 */
export function shareWeights(base: CausalLM): CausalLM {
  const tensors = new Map(namedTensors(base));
  return buildModel(base.config, (name) => {
    const tensor = tensors.get(name);
    if (tensor === undefined) throw new FormatError(`the model to share has no tensor "${name}"`);
    return tensor;
  });
}
