/** Matrix products on the CPU: which library makes them, and products whose rows do not depend on each other. */
import { chooseMatmul, type MatmulLibrary } from "../setup/matmul-choice.ts";
import { native } from "./native.ts";

/** The library that makes float32 matrix products on the CPU in this process. */
export function matmulLibrary(): MatmulLibrary {
  return native.usesOnednn() ? "onednn" : "torch";
}

/**
 * Gives float32 products on the CPU to the library that was chosen for this machine, or to `resumed`, the one that a run
 * began with: PREFTUNE_MATMUL, where it is set, overrides both.
 *
 * @returns the library in use; torch's own where the other is not there
 */
export function settleMatmul(resumed: MatmulLibrary | null = null): MatmulLibrary {
  const has = native.hasOnednn();
  const { library, reason } = chooseMatmul(has);
  native.useOnednn(has && (reason === "asked" ? library : (resumed ?? library)) === "onednn");
  return matmulLibrary();
}

/**
 * Runs `body` (synchronous) so that the result of a row of a batch does not depend, to the bit, on the other rows or on how
 * many there are (batch invariance): on the CPU, in float32 and bfloat16, for what a model's forward pass consists of.
 */
export function batchInvariant<T>(body: () => T): T {
  native.setBatchInvariant(true);
  try {
    return body();
  } finally {
    native.setBatchInvariant(false);
  }
}
