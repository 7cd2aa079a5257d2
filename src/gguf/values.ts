/** The values that the keys of a GGUF file have, with the types that llama.cpp expects them in. */

/** A value with its type. */
export type GgufValue =
  | { type: "uint32" | "int32" | "uint64" | "float32" | "float64"; value: number }
  | { type: "bool"; value: boolean }
  | { type: "string"; value: string }
  | { type: "strings"; value: readonly string[] }
  | { type: "int32s" | "uint32s" | "float32s"; value: readonly number[] }
  | { type: "bools"; value: readonly boolean[] };

/** Keys in the order of the file. */
export type GgufKeys = ReadonlyMap<string, GgufValue>;

/** A whole number of at least 0. */
export function uint32(value: number): GgufValue {
  return { type: "uint32", value };
}

/** A number, rounded to float32. */
export function float32(value: number): GgufValue {
  return { type: "float32", value: Math.fround(value) };
}

/** A switch. */
export function bool(value: boolean): GgufValue {
  return { type: "bool", value };
}

/** A text. */
export function string(value: string): GgufValue {
  return { type: "string", value };
}

/** A list of texts. */
export function strings(value: readonly string[]): GgufValue {
  return { type: "strings", value };
}

/** The numbers of the types in a file; a list is 9, then the type of its members. */
export const valueIds = {
  uint32: 4,
  int32: 5,
  float32: 6,
  bool: 7,
  string: 8,
  list: 9,
  uint64: 10,
  float64: 12,
} as const;
