/** Which tensors a run trains, under the names they have in its checkpoints. */
import { loraTensorName, savedModuleName } from "../formats/adapter-names.ts";
import { type AdapterPart, adapterTensors } from "../models/adapt.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import { Linear } from "../nn/linear.ts";
import { LoraLinear, SavedLinear } from "../nn/lora.ts";
import { namedModules, namedTensors } from "../nn/module.ts";
import type { NamedParameter } from "../optim/adamw.ts";
import { type DType, holdCopy, type Tensor } from "../torch/index.ts";

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

/**
 * Gives every trained float32 matrix that activations in `dtype` are multiplied by a copy in that type, made again after
 * each change of it. Freeing the copies is the caller's part; float32 activations need none.
 */
export function holdCopies(model: CausalLM, dtype: DType): Tensor[] {
  const matrices = [...namedModules(model)].flatMap(({ module }) => {
    if (module instanceof LoraLinear) return [module.lora_A, module.lora_B];
    if (module instanceof SavedLinear) return [module.saved];
    return module instanceof Linear ? [module.weight] : [];
  });
  return matrices
    .filter((matrix) => matrix.requiresGrad && matrix.dtype !== dtype)
    .map((matrix) => holdCopy(matrix, dtype));
}
