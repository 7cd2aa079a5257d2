/** Types of the safetensors format and the arithmetic of its layout, shared by reader and writer. */

/** Bytes of one element, by type name as the format spells it. Types narrower than a byte are not listed. */
export const dtypeBytes: Readonly<Record<TensorDtype, number>> = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  I64: 8,
  U64: 8,
  F64: 8,
};

/** Element types preftune can read from and write to a safetensors file. */
export type TensorDtype =
  | "BOOL"
  | "U8"
  | "I8"
  | "F8_E4M3"
  | "F8_E5M2"
  | "I16"
  | "U16"
  | "F16"
  | "BF16"
  | "I32"
  | "U32"
  | "F32"
  | "I64"
  | "U64"
  | "F64";

/** One tensor of a file: `begin` and `end` are byte offsets from the start of the data, `end` excluded. */
export interface TensorEntry {
  name: string;
  dtype: TensorDtype;
  shape: number[];
  begin: number;
  end: number;
}

/** Largest header, as in the reference implementation. */
export const maxHeaderBytes: number = 100_000_000;

/** Most tensors of one file; far above any model, far below what would exhaust memory. */
export const maxTensors: number = 100_000;

/** Most dimensions of a tensor; torch takes no more. */
export const maxDimensions: number = 64;

/** Whether `name` is an element type this program knows. */
export function isTensorDtype(name: string): name is TensorDtype {
  return Object.hasOwn(dtypeBytes, name);
}

/**
 * Bytes of a tensor, or null when they pass 2^53 - 1. Negative sizes must be refused before.
 *
 * Sizes beside a zero count too: strides are made of them.
 */
export function tensorBytes(dtype: TensorDtype, shape: readonly number[]): number | null {
  let bytes = dtypeBytes[dtype];
  for (const size of shape) {
    bytes *= Math.max(size, 1);
    if (!Number.isSafeInteger(bytes)) return null;
  }
  return shape.includes(0) ? 0 : bytes;
}
