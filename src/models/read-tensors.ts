/** Reading tensors of a safetensors file into tensors that already exist: adapters, checkpoints, optimiser states. */
import { FormatError } from "../base/errors.ts";
import type { SafetensorsFile } from "../formats/safetensors.ts";
import { noGrad, ops, scope, type Tensor } from "../torch/index.ts";
import { requireFinite } from "./finite.ts";
import { copyStored } from "./mapped-file.ts";

/**
 * Copies every tensor of the files into the one of the same name.
 *
 * @param files - checked headers; together they hold exactly the targets, with their shapes
 * @param what - for messages, e.g. "adapter"
 * @throws {FormatError} naming the first tensor that is missing, left over or of another shape (nothing is copied then), or holds a
 *   number that is not finite
 */
export function readTensorsInto(
  files: readonly SafetensorsFile[],
  targets: ReadonlyMap<string, Tensor>,
  what: string,
): void {
  requireTensors(files, targets, what);
  for (const file of files) copyFile(file, targets);
}

/** Checks that the files hold exactly the targets, and reads nothing. Parameters and errors as `readTensorsInto`. */
export function requireTensors(
  files: readonly SafetensorsFile[],
  targets: ReadonlyMap<string, Tensor>,
  what: string,
): void {
  const where = files[0]?.path ?? what;
  const homes = new Map(
    files.flatMap((file) => [...file.tensors.values()].map((entry) => [entry.name, file] as const)),
  );
  for (const [name, target] of targets) {
    const entry = homes.get(name)?.tensors.get(name);
    if (entry === undefined) throw new FormatError(`${where}: ${what} tensor "${name}" is missing`);
    if (String(entry.shape) !== String(target.shape)) {
      throw new FormatError(
        `${where}: tensor "${name}" has shape [${entry.shape}], this ${what} asks for [${target.shape}]. ` +
          "It was made for another model or with other settings.",
      );
    }
  }
  const extra = [...homes.keys()].find((name) => !targets.has(name));
  if (extra !== undefined)
    throw new FormatError(`${where}: tensor "${extra}" does not belong to this ${what}`);
}

function copyFile(file: SafetensorsFile, targets: ReadonlyMap<string, Tensor>): void {
  using _ = scope();
  noGrad(() => {
    for (const entry of file.tensors.values()) {
      const target = ops.detach(targets.get(entry.name) as Tensor);
      copyStored(file, entry, target);
      requireFinite(target, `${file.path}: tensor "${entry.name}"`);
    }
  });
}
