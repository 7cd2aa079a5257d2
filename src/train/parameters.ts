/** Which tensors a run trains, under the names they have in its checkpoints. */
import { loraTensorName, savedModuleName } from "../formats/adapter-names.ts";
import { type AdapterPart, adapterTensors } from "../models/adapt.ts";
import { DecoderBlock } from "../models/blocks.ts";
import type { Decoder } from "../models/causal-lm.ts";
import { Linear } from "../nn/linear.ts";
import { LoraLinear, SavedLinear } from "../nn/lora.ts";
import { namedModules, namedTensors } from "../nn/module.ts";
import { type NamedParameter, ParameterSet } from "../nn/parameter-set.ts";
import type { Tensor } from "../torch/index.ts";

/** PEFT's name of an adapter tensor. */
export function adapterTensorName(of: AdapterPart): string {
  return of.part === "saved" ? savedModuleName(of.path, of.parameter) : loraTensorName(of.path, of.part);
}

/** The adapter's tensors under PEFT's names, which are all that is trained beside frozen weights. */
export function adapterParameters(model: Decoder): ParameterSet {
  const tensors = [...adapterTensors(model)].map(([part, tensor]) => ({
    name: adapterTensorName(part),
    tensor,
  }));
  return new ParameterSet(tensors, factorsOf(model));
}

/** Every tensor of a model without adapter under its checkpoint name; a tied head is the embedding and left out. */
export function modelParameters(model: Decoder): NamedParameter[] {
  const seen = new Set<number>();
  return [...namedTensors(model)].flatMap(([name, tensor]) => {
    if (seen.has(tensor.handle)) return [];
    seen.add(tensor.handle);
    return [{ name, tensor }];
  });
}

/** Marks every tensor of `model` but its blocks' fixed ones as trained (full tuning) and lists them. */
export function trainAll(model: Decoder): ParameterSet {
  const fixed = new Set(
    model.model.layers.flatMap((block) => (block instanceof DecoderBlock ? Object.values(block.fixed) : [])),
  );
  const parameters = modelParameters(model).filter(({ tensor }) => !fixed.has(tensor));
  for (const { tensor } of parameters) tensor.requiresGrad = true;
  return new ParameterSet(parameters, factorsOf(model));
}

/** The matrices of layers and adapters that activations are multiplied by; tables, norms and biases are none. */
function factorsOf(model: Decoder): Tensor[] {
  return [...namedModules(model)].flatMap(({ module }) => {
    if (module instanceof LoraLinear) return [module.lora_A, module.lora_B];
    if (module instanceof SavedLinear) return [module.saved];
    return module instanceof Linear ? [module.weight] : [];
  });
}
