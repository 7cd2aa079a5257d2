/** Reading tensors of a safetensors file into tensors that already exist: adapters, checkpoints, optimiser states. */
import { FormatError } from "../base/errors.ts";
import { readSafetensorsHeader } from "../formats/safetensors.ts";
import { noGrad, ops, scope, type Tensor } from "../torch/index.ts";
import { mapSafetensors } from "./mapped-file.ts";

/**
 * Copies every tensor of `path` into the one of the same name.
 *
 * @param targets - must be exactly the file's tensors, with their shapes
 * @param what - for messages, e.g. "adapter"
 * @throws {FormatError} naming the first tensor that is missing, left over or of another shape; nothing is copied then
 */
export function readTensorsInto(path: string, targets: ReadonlyMap<string, Tensor>, what: string): void {
  const file = readSafetensorsHeader(path);
  for (const [name, target] of targets) {
    const entry = file.tensors.get(name);
    if (entry === undefined) throw new FormatError(`${path}: ${what} tensor "${name}" is missing`);
    if (String(entry.shape) !== String(target.shape)) {
      throw new FormatError(
        `${path}: tensor "${name}" has shape [${entry.shape}], this ${what} asks for [${target.shape}]. ` +
          "It was made for another model or with other adapter settings.",
      );
    }
  }
  const extra = [...file.tensors.keys()].find((name) => !targets.has(name));
  if (extra !== undefined) throw new FormatError(`${path}: tensor "${extra}" does not belong to this ${what}`);
  using _ = scope();
  const read = mapSafetensors(file);
  noGrad(() => {
    for (const [name, target] of targets) {
      const entry = file.tensors.get(name);
      if (entry !== undefined) ops.copy_(ops.detach(target), read(entry));
    }
  });
}
