/**
 * Copies of trained float32 weights in half precision, so that a weight is not cast each time it is used. A copy knows the
 * state of the weight it was made of and is made again at the first use after a change, whatever changed it: an optimiser
 * step, a checkpoint read back. Which weights have one is decided where training is set up.
 */
import { noGrad } from "./autograd.ts";
import type { DType } from "./dtype.ts";
import { copy_, detach, halfCopy, to } from "./generated/operators.ts";
import { guarded, native } from "./native.ts";
import type { Tensor } from "./tensor.ts";

interface Copy {
  tensor: Tensor;
  /** The weight's count of changes when it was copied. */
  version: number;
}

const copies = new WeakMap<Tensor, Copy>();

function versionOf(weight: Tensor): number {
  return guarded(() => native.version(weight.handle));
}

/** Gives `weight` a copy in `dtype`, used until it is freed; freeing it is the caller's part. */
export function holdCopy(weight: Tensor, dtype: DType): Tensor {
  return holdCopyIn(
    weight,
    noGrad(() => to(detach(weight), dtype)),
  );
}

/** The same in memory that is there: `copy`, of the same shape, gets the numbers of `weight`. */
export function holdCopyIn(weight: Tensor, copy: Tensor): Tensor {
  noGrad(() => copy_(copy, detach(weight)));
  copies.set(weight, { tensor: copy, version: versionOf(weight) });
  return copy;
}

/** The up-to-date copy of `weight` in `dtype`, without a way for gradients; null where none is held. */
export function heldCopy(weight: Tensor, dtype: DType): Tensor | null {
  const copy = copies.get(weight);
  if (copy === undefined || !copy.tensor.isAlive || copy.tensor.dtype !== dtype) return null;
  const version = versionOf(weight);
  if (version !== copy.version) {
    noGrad(() => copy_(copy.tensor, detach(weight)));
    copy.version = version;
  }
  return copy.tensor;
}

/** `weight` in `dtype`: itself, its copy, or cast. Gradients reach the weight in its own type. */
export function inType(weight: Tensor, dtype: DType): Tensor {
  if (weight.dtype === dtype) return weight;
  const copy = heldCopy(weight, dtype);
  return copy === null ? to(weight, dtype) : halfCopy(weight, copy);
}
