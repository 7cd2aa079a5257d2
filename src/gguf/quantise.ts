/**
 * Blocks of 32 weights from float32 numbers, as ggml's reference makes them: the same bytes as `quantize_row_q8_0_ref`,
 * `quantize_row_q4_0_ref` and gguf-py.
 */
import { blocks, type WrittenType } from "./types.ts";

/**
 * The bytes of `numbers`, which are whole blocks of `type`.
 *
 * A number beyond float16 becomes infinite there: see `largestFloat16`.
 */
export function encode(type: WrittenType, numbers: Float32Array): Uint8Array {
  switch (type) {
    case "f32":
      return new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);
    case "f16":
      return new Uint8Array(Float16Array.from(numbers).buffer);
    case "bf16":
      return encodeBfloat16(numbers);
    case "q8_0":
      return encodeBlocks(numbers, { bytes: blocks.q8_0.bytes, encodeBlock: encodeQ8 });
    case "q4_0":
      return encodeBlocks(numbers, { bytes: blocks.q4_0.bytes, encodeBlock: encodeQ4 });
  }
}

/** The largest number that float16 rounds to a finite one. */
export const largestFloat16: number = 65_519;

/** Upper halves of the numbers, rounded to the nearest, ties to even. NaN stays NaN. */
function encodeBfloat16(numbers: Float32Array): Uint8Array {
  const bits = new Uint32Array(numbers.buffer, numbers.byteOffset, numbers.length);
  const halves = new Uint16Array(numbers.length);
  for (let i = 0; i < bits.length; i++) {
    const word = bits[i] ?? 0;
    const hasNoValue = (word & 0x7fff_ffff) > 0x7f80_0000;
    halves[i] = hasNoValue ? (word >>> 16) | 64 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
  return new Uint8Array(halves.buffer);
}

const size = 32;

/** Writes 32 numbers at `from` as one block at `to`. */
type EncodeBlock = (numbers: Float32Array, from: number, bytes: DataView, to: number) => void;

function encodeBlocks(
  numbers: Float32Array,
  { bytes, encodeBlock }: { bytes: number; encodeBlock: EncodeBlock },
): Uint8Array {
  const count = numbers.length / size;
  const out = new Uint8Array(count * bytes);
  const view = new DataView(out.buffer);
  for (let block = 0; block < count; block++) encodeBlock(numbers, block * size, view, block * bytes);
  return out;
}

/** A float16 scale d, then 32 signed bytes q: d·q. Halves are rounded away from zero. */
function encodeQ8(numbers: Float32Array, from: number, bytes: DataView, to: number): void {
  let most = 0;
  for (let i = 0; i < size; i++) most = Math.max(most, Math.abs(numbers[from + i] ?? 0));
  const scale = Math.fround(most / 127);
  const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
  bytes.setFloat16(to, scale, true);
  for (let i = 0; i < size; i++) {
    const x = Math.fround((numbers[from + i] ?? 0) * inverse);
    bytes.setInt8(to + 2 + i, Math.sign(x) * Math.floor(Math.abs(x) + 0.5));
  }
}

/** A float16 scale d, then 16 bytes, the low halves of which are the first 16 numbers q, the high ones the others: d·(q − 8). */
function encodeQ4(numbers: Float32Array, from: number, bytes: DataView, to: number): void {
  let extreme = 0;
  for (let i = 0; i < size; i++) {
    const x = numbers[from + i] ?? 0;
    if (Math.abs(x) > Math.abs(extreme)) extreme = x;
  }
  const scale = Math.fround(extreme / -8);
  const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
  bytes.setFloat16(to, scale, true);
  const quantum = (i: number): number => {
    const x = Math.fround(Math.fround((numbers[from + i] ?? 0) * inverse) + 8.5);
    return Math.min(15, Math.trunc(x));
  };
  for (let i = 0; i < size / 2; i++) bytes.setUint8(to + 2 + i, quantum(i) | (quantum(i + size / 2) << 4));
}
