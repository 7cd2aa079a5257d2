/** Element types of tensors, by PyTorch's names, and the typed arrays that hold them in JavaScript. */
import { TorchError } from "../base/errors.ts";

// c10::ScalarType's numbers
const codes = {
  uint8: 0,
  int8: 1,
  int16: 2,
  int32: 3,
  int64: 4,
  float16: 5,
  float32: 6,
  float64: 7,
  bool: 11,
  bfloat16: 15,
} as const;

/** An element type. */
export type DType = keyof typeof codes;

const names = new Map<number, DType>(Object.entries(codes).map(([name, code]) => [code, name as DType]));

const bytesPerElement: Record<DType, number> = {
  uint8: 1,
  int8: 1,
  int16: 2,
  int32: 4,
  int64: 8,
  float16: 2,
  float32: 4,
  float64: 8,
  bool: 1,
  bfloat16: 2,
};

/** The number torch knows the type by. */
export function dtypeCode(dtype: DType): number {
  return codes[dtype];
}

/** The type torch knows by `code`. */
export function dtypeOf(code: number): DType {
  const name = names.get(code);
  if (name === undefined) throw new TorchError(`tensor element type number ${code} is not one preftune uses`);
  return name;
}

/** Bytes of one element. */
export function itemSize(dtype: DType): number {
  return bytesPerElement[dtype];
}

/** Typed arrays a tensor can be read into. float16 and bfloat16 have none of their own: convert to float32 first. */
export type TensorArray =
  | Float32Array<ArrayBuffer>
  | Float64Array<ArrayBuffer>
  | BigInt64Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>
  | Int16Array<ArrayBuffer>
  | Int8Array<ArrayBuffer>
  | Uint8Array<ArrayBuffer>;

/** The same, over any kind of buffer: what a tensor can be made from. */
export type TensorInput =
  | Float32Array
  | Float64Array
  | BigInt64Array
  | Int32Array
  | Int16Array
  | Int8Array
  | Uint8Array;

const arrays = {
  float32: Float32Array,
  float64: Float64Array,
  int64: BigInt64Array,
  int32: Int32Array,
  int16: Int16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  bool: Uint8Array,
} as const;

/** A typed array of the right kind for `length` numbers. */
export function arrayFor(dtype: DType, length: number): TensorArray {
  if (dtype === "float16" || dtype === "bfloat16") {
    throw new TorchError(`a ${dtype} tensor has no typed array in JavaScript: convert it to float32 first`);
  }
  return new arrays[dtype](length);
}

/** The element type that a typed array holds. */
export function dtypeOfArray(array: TensorInput): DType {
  for (const dtype of ["float32", "float64", "int64", "int32", "int16", "int8", "uint8"] as const) {
    if (array instanceof arrays[dtype]) return dtype;
  }
  throw new TorchError(`${Object.prototype.toString.call(array)} cannot become a tensor`);
}
