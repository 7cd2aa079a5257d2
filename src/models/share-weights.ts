/** Several models on one set of weights, each with its own adapter. */
import { FormatError } from "../base/errors.ts";
import { Linear } from "../nn/linear.ts";
import { isProjection, namedModules, namedTensors } from "../nn/module.ts";
import { buildModel } from "./build.ts";
import type { CausalLM } from "./causal-lm.ts";
import type { WeightSource } from "./weights.ts";

/**
 * A second model with its own modules on the same tensors as `base`, which has no adapter.
 *
 * @throws {FormatError} if `base` lacks a tensor of its family, as one with an adapter may
 */
export function shareWeights(base: CausalLM): CausalLM {
  const tensors = new Map(namedTensors(base));
  const held = new Map([...namedModules(base)].map(({ path, module }) => [path, module]));
  const source: WeightSource = (name) => {
    const tensor = tensors.get(name);
    if (tensor === undefined) throw new FormatError(`the model to share has no tensor "${name}"`);
    return tensor;
  };
  source.linear = (path) => {
    const module = held.get(path);
    return module === undefined || module instanceof Linear || !isProjection(module) ? null : module;
  };
  const shared = buildModel(base.config, source);
  // another form of it than a matrix is shared too
  if (!(base.lm_head instanceof Linear)) shared.lm_head = base.lm_head;
  return shared;
}
