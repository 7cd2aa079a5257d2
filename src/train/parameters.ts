/** Which tensors a run trains, under the names they have in its checkpoints. */
import { loraTensorName, savedModuleName } from "../formats/adapter-names.ts";
import { type AdapterPart, adapterTensors } from "../models/adapt.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import { namedTensors } from "../nn/module.ts";
import type { NamedParameter } from "../optim/adamw.ts";

/** PEFT's name of an adapter tensor. */
function adapterTensorName({ path, part }: AdapterPart): string {
  return part === "saved" ? savedModuleName(path) : loraTensorName(path, part);
}

/** The adapter's tensors under PEFT's names. */
export function adapterParameters(model: CausalLM): NamedParameter[] {
  return [...adapterTensors(model)].map(([part, tensor]) => ({ name: adapterTensorName(part), tensor }));
}

/** Every tensor of a model without adapter under its checkpoint name; a tied head is the embedding and left out. */
export function modelParameters(model: CausalLM): NamedParameter[] {
  const seen = new Set<number>();
  return [...namedTensors(model)].flatMap(([name, tensor]) => {
    if (seen.has(tensor.handle)) return [];
    seen.add(tensor.handle);
    return [{ name, tensor }];
  });
}

/** Marks every tensor of `model` as trained (full tuning) and lists them. */
export function trainAll(model: CausalLM): NamedParameter[] {
  const parameters = modelParameters(model);
  for (const { tensor } of parameters) tensor.requiresGrad = true;
  return parameters;
}
