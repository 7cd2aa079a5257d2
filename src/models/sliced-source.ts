/** Ranges of the numbers of stored tensors, whoever stored them in however many pieces: what is not asked for is not read. */
import { FormatError } from "../base/errors.ts";
import type { SliceIndex } from "../formats/slices.ts";
import { noGrad, ops, scope, type Tensor } from "../torch/index.ts";
import { requireFinite } from "./finite.ts";
import { copyStoredRange } from "./mapped-file.ts";

/** Numbers of a stored tensor, and the memory that they go to. */
export interface WantedSlice {
  /** Name of the tensor. */
  name: string;
  /** Numbers in the tensor. */
  numel: number;
  from: number;
  to: number;
  /** (to − from), on any device and of any type. */
  into: Tensor;
}

/**
 * Reads what is wanted.
 *
 * @param index - where the tensors are stored
 * @param what - for messages, e.g. "model"
 * @throws {FormatError} naming the first tensor that is missing or of another size (nothing is read then), or holds a number that
 *   is not finite
 */
export function readSlices(index: SliceIndex, wanted: readonly WantedSlice[], what: string): void {
  for (const { name, numel } of wanted) {
    const stored = index.numel(name);
    if (stored === null) throw new FormatError(`${index.place}: ${what} tensor "${name}" is missing`);
    if (stored !== numel) {
      throw new FormatError(
        `${index.place}: tensor "${name}" has ${stored} numbers, this ${what} asks for ${numel}. ` +
          "It was made for another model or with other settings.",
      );
    }
  }
  noGrad(() => {
    for (const slice of wanted) readSlice(index, slice);
  });
}

function readSlice(index: SliceIndex, { name, from, to, into }: WantedSlice): void {
  let done = 0;
  for (const stored of index.within(name, from, to)) {
    using _ = scope();
    const count = stored.to - stored.from;
    const target = ops.narrow(into, 0, done, count);
    copyStoredRange(stored.file, stored.entry, stored, target);
    requireFinite(target, `${stored.file.path}: tensor "${stored.entry.name}"`);
    done += count;
  }
}
