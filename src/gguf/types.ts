/** Element types of GGUF tensors: whole numbers of blocks in a row, each block with its own scale where the type has one. */

/** Types of tensors that are read here. */
export type GgufType = "f32" | "f16" | "bf16" | "q4_0" | "q4_1" | "q5_0" | "q8_0" | "q4_k" | "q5_k" | "q6_k";

/** Types of tensors that are written here. */
export type WrittenType = Extract<GgufType, "f32" | "f16" | "bf16" | "q4_0" | "q8_0">;

/** What a block is: numbers in it, and its bytes. */
interface Block {
  /** The type's number in a file. */
  id: number;
  size: number;
  bytes: number;
}

/** Blocks by type, as ggml lays them out. */
export const blocks: Readonly<Record<GgufType, Block>> = {
  f32: { id: 0, size: 1, bytes: 4 },
  f16: { id: 1, size: 1, bytes: 2 },
  bf16: { id: 30, size: 1, bytes: 2 },
  q4_0: { id: 2, size: 32, bytes: 18 },
  q4_1: { id: 3, size: 32, bytes: 20 },
  q5_0: { id: 6, size: 32, bytes: 22 },
  q8_0: { id: 8, size: 32, bytes: 34 },
  q4_k: { id: 12, size: 256, bytes: 144 },
  q5_k: { id: 13, size: 256, bytes: 176 },
  q6_k: { id: 14, size: 256, bytes: 210 },
};

/** Types by their number in a file. */
export const typeById: ReadonlyMap<number, GgufType> = new Map(
  (Object.keys(blocks) as GgufType[]).map((type) => [blocks[type].id, type]),
);

/** Numbers in a tensor of this shape. */
export function numelOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Bytes of a tensor, of which the last size is a multiple of the type's block. */
export function bytesOf(type: GgufType, shape: readonly number[]): number {
  const { size, bytes } = blocks[type];
  return (numelOf(shape) / size) * bytes;
}
