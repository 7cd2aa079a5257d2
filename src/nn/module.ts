/**
 * What a module is: a plain object whose properties are tensors, modules, or arrays of modules, spelt as in Hugging
 * Face checkpoints, so that a parameter's path is its checkpoint name and loading needs no translation table.
 */
import { type DType, Tensor } from "../torch/index.ts";

/** A linear map, in whatever form its weight is held: one matrix, a base with an adapter, quantised rows. */
export interface Projection {
  /** Of the weight as the checkpoint has it: (out, in). */
  readonly shape: readonly [out: number, input: number];
  /** Where its weight is. */
  readonly device: string;
  readonly bias: Tensor | null;
  /** The weight as it acts, (out, in) in `dtype`: the tensor itself where it is held so, otherwise a copy. */
  dense(dtype: DType): Tensor;
  /** x: (T, in) -> (T, out), which the caller may change in place. */
  forward(x: Tensor): Tensor;
}

/** A projection whose weight is one matrix in memory: the head, whose log-probs are computed from parts of it. */
export interface DenseProjection extends Projection {
  /** (out, in) */
  readonly weight: Tensor;
}

/** Whether a module is a projection. */
export function isProjection(module: object): module is Projection {
  return "dense" in module && "forward" in module;
}

/** Whether a projection's weight is one matrix in memory. */
export function isDense(projection: Projection): projection is DenseProjection {
  return "weight" in projection;
}

/** Every tensor below `module` with its dotted path, in declaration order; a tensor reached twice is given twice. */
export function* namedTensors(module: object): Generator<[string, Tensor]> {
  for (const { path, tensor } of tensorPlaces(module)) yield [path, tensor];
}

/** Where a tensor hangs, so that another can take its place. */
export interface TensorPlace {
  path: string;
  tensor: Tensor;
  owner: Record<string, unknown>;
  key: string;
}

/** The same with the object and key that each tensor hangs on. */
export function* tensorPlaces(module: object, prefix = ""): Generator<TensorPlace> {
  for (const [key, value] of Object.entries(module)) {
    const path = prefix === "" ? key : `${prefix}.${key}`;
    if (value instanceof Tensor) yield { path, tensor: value, owner: module as Record<string, unknown>, key };
    else if (isModule(value)) yield* tensorPlaces(value, path);
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
