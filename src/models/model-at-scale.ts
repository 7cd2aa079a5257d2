/** The model between the start of a full tuning and its result: W₀ + s (W − W₀). */
import { FormatError } from "../base/errors.ts";
import { namedTensors } from "../nn/module.ts";
import { type DType, noGrad, ops, scope, type Tensor } from "../torch/index.ts";
import { buildModel } from "./build.ts";
import type { CausalLM } from "./causal-lm.ts";
import { interpolated } from "./load-adapter.ts";
import type { WeightSource } from "./weights.ts";

/** A start and what was trained from it, each as its files have it. */
export interface TunedModels {
  start: CausalLM;
  trained: CausalLM;
}

/**
 * A separate model whose weights are start + scale · (trained − start), computed in float32 and rounded once to `dtype`; at 0 those of
 * the start, at 1 those of the result. A head that only one of the two has apart from its embedding is apart.
 *
 * @param stored - the type that files of it have, where that is another one: the model is then what such files would be read as
 * @throws {FormatError} for a tensor that only one of them has, or of another shape
 */
export function modelAtScale(
  { start, trained }: TunedModels,
  scale: number,
  dtype: DType,
  stored: DType = dtype,
): CausalLM {
  const [from, to] = [new Map(namedTensors(start)), new Map(namedTensors(trained))];
  const alone = [...from.keys(), ...to.keys()].find((name) => !from.has(name) || !to.has(name));
  if (alone !== undefined) {
    const [has, lacks] = from.has(alone) ? ["start", "result"] : ["result", "start"];
    throw unlike(`the ${has} has the tensor "${alone}", the ${lacks} does not`);
  }
  const source: WeightSource = (name) => {
    const [before, after] = [from.get(name), to.get(name)];
    if (before === undefined || after === undefined) throw unlike(`there is no tensor "${name}"`);
    if (before.shape.join() !== after.shape.join()) {
      throw unlike(
        `the tensor "${name}" is [${before.shape}] in the start and [${after.shape}] in the result`,
      );
    }
    return mixed(before, after, scale, [stored, dtype]);
  };
  const { config } = trained;
  const tieWordEmbeddings = config.tieWordEmbeddings && start.config.tieWordEmbeddings;
  return buildModel({ ...config, tieWordEmbeddings }, source);
}

/** @param types - that it is brought to, one after the other */
function mixed(before: Tensor, after: Tensor, scale: number, types: readonly DType[]): Tensor {
  using own = scope();
  return own.keep(
    noGrad(() => types.reduce((all, type) => ops.to(all, type), interpolated(after, before, scale))),
  );
}

function unlike(how: string): FormatError {
  return new FormatError(
    `a scale needs the model that the training began with, and this start is another model than the result: ${how}. Give the start of the run.`,
  );
}
