/**
 * What a module is: a plain object whose properties are tensors, modules, or arrays of modules, spelt as in Hugging
 * Face checkpoints, so that a parameter's path is its checkpoint name and loading needs no translation table.
 */
import { Tensor } from "../torch/index.ts";

/** Anything with a `forward` from activations to activations and a weight of the checkpoint behind it. */
export interface Projection {
  /** (out, in), the checkpoint's matrix. */
  readonly weight: Tensor;
  readonly bias: Tensor | null;
  /** x: (T, in) -> (T, out) */
  forward(x: Tensor): Tensor;
}

/** Every tensor below `module` with its dotted path, in declaration order; a tensor reached twice is given twice. */
export function* namedTensors(module: object, prefix = ""): Generator<[string, Tensor]> {
  for (const [key, value] of Object.entries(module)) {
    const path = prefix === "" ? key : `${prefix}.${key}`;
    if (value instanceof Tensor) yield [path, value];
    else if (isModule(value)) yield* namedTensors(value, path);
  }
}

/** Every module below `root` (itself left out), with its path and the object and key it hangs on. */
export function* namedModules(root: object, prefix = ""): Generator<ModulePlace> {
  for (const [key, value] of Object.entries(root)) {
    if (!isModule(value)) continue;
    const path = prefix === "" ? key : `${prefix}.${key}`;
    yield { path, module: value, owner: root as Record<string, unknown>, key };
    yield* namedModules(value, path);
  }
}

/** Where a module hangs, so that a pass can replace it. */
export interface ModulePlace {
  path: string;
  module: object;
  owner: Record<string, unknown>;
  key: string;
}

function isModule(value: unknown): value is object {
  if (typeof value !== "object" || value === null || value instanceof Tensor) return false;
  return Array.isArray(value) ? value.every(isModule) : "forward" in value || "isModuleGroup" in value;
}
