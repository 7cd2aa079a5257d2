/** float32 numbers from the blocks of a GGUF file, as ggml's `dequantize_row_*` gives them. */
import { blocks, type GgufType } from "./types.ts";

/** Fills `size` numbers of `out` from `to` on with the block at `from`. */
type DecodeBlock = (bytes: DataView, from: number, out: Float32Array, to: number) => void;

/** The numbers of whole blocks. `bytes` is little-endian. */
export function decode(type: GgufType, bytes: Uint8Array): Float32Array {
  const { size, bytes: blockBytes } = blocks[type];
  const count = bytes.byteLength / blockBytes;
  const out = new Float32Array(count * size);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const decodeBlock = decoders[type];
  for (let block = 0; block < count; block++) decodeBlock(view, block * blockBytes, out, block * size);
  return out;
}

const decoders: Readonly<Record<GgufType, DecodeBlock>> = {
  f32: (bytes, from, out, to) => {
    out[to] = bytes.getFloat32(from, true);
  },
  f16: (bytes, from, out, to) => {
    out[to] = bytes.getFloat16(from, true);
  },
  bf16: (bytes, from, out, to) => {
    scratch.setUint32(0, bytes.getUint16(from, true) << 16);
    out[to] = scratch.getFloat32(0);
  },
  q8_0: (bytes, from, out, to) => {
    const scale = bytes.getFloat16(from, true);
    for (let i = 0; i < 32; i++) out[to + i] = scale * bytes.getInt8(from + 2 + i);
  },
  q4_0: (bytes, from, out, to) => {
    const scale = bytes.getFloat16(from, true);
    halves(bytes, from + 2, (i, q) => {
      out[to + i] = scale * (q - 8);
    });
  },
  q4_1: (bytes, from, out, to) => {
    const scale = bytes.getFloat16(from, true);
    const least = bytes.getFloat16(from + 2, true);
    halves(bytes, from + 4, (i, q) => {
      out[to + i] = Math.fround(scale * q) + least;
    });
  },
  q5_0: (bytes, from, out, to) => {
    const scale = bytes.getFloat16(from, true);
    const high = bytes.getUint32(from + 2, true);
    halves(bytes, from + 6, (i, q) => {
      out[to + i] = scale * ((q | (((high >>> i) & 1) << 4)) - 16);
    });
  },
  q4_k: (bytes, from, out, to) => decodeK(bytes, { from, quanta: from + 16, high: null }, out, to),
  q5_k: (bytes, from, out, to) => decodeK(bytes, { from, quanta: from + 48, high: from + 16 }, out, to),
  q6_k: decodeQ6,
};

const scratch = new DataView(new ArrayBuffer(4));

/** The 32 half bytes of 16 bytes: first all low ones, then all high ones. */
function halves(bytes: DataView, from: number, take: (i: number, q: number) => void): void {
  for (let i = 0; i < 16; i++) {
    const byte = bytes.getUint8(from + i);
    take(i, byte & 15);
    take(i + 16, byte >> 4);
  }
}

/** Where a block of 256 has its parts. */
interface KBlock {
  /** Scales: d and dmin in float16, then six bits each of eight scales and eight minima. */
  from: number;
  /** 128 bytes of half bytes. */
  quanta: number;
  /** 32 bytes with each number's fifth bit; null for four bits. */
  high: number | null;
}

/** Eight runs of 32 numbers, each with a scale and a minimum of six bits: d·scale·q − dmin·minimum. */
function decodeK(bytes: DataView, { from, quanta, high }: KBlock, out: Float32Array, to: number): void {
  const d = bytes.getFloat16(from, true);
  const least = bytes.getFloat16(from + 2, true);
  for (let run = 0; run < 8; run++) {
    const [scale, minimum] = scaleOf(bytes, from + 4, run);
    const [step, offset] = [Math.fround(d * scale), Math.fround(least * minimum)];
    const shift = (run % 2) * 4;
    for (let i = 0; i < 32; i++) {
      const low = (bytes.getUint8(quanta + (run >> 1) * 32 + i) >> shift) & 15;
      const bit = high === null ? 0 : (bytes.getUint8(high + i) >> run) & 1;
      out[to + run * 32 + i] = Math.fround(step * (low | (bit << 4))) - offset;
    }
  }
}

/** The scale and minimum of a run, of which twelve bytes hold eight pairs of six bits. */
function scaleOf(bytes: DataView, from: number, run: number): [number, number] {
  const byte = (i: number): number => bytes.getUint8(from + i);
  if (run < 4) return [byte(run) & 63, byte(run + 4) & 63];
  const low = byte(run + 4);
  return [(low & 15) | ((byte(run - 4) >> 6) << 4), (low >> 4) | ((byte(run) >> 6) << 4)];
}

/** Two halves of 128 numbers of six bits (four in 64 bytes, two in 32), sixteen signed scales, and d: d·scale·(q − 32). */
function decodeQ6(bytes: DataView, from: number, out: Float32Array, to: number): void {
  const d = bytes.getFloat16(from + 208, true);
  for (let i = 0; i < 256; i++) {
    const half = i >> 7;
    const place = i & 127;
    const low = (bytes.getUint8(from + half * 64 + (place & 63)) >> (place >= 64 ? 4 : 0)) & 15;
    const high = (bytes.getUint8(from + 128 + half * 32 + (place & 31)) >> ((place >> 5) * 2)) & 3;
    const scale = bytes.getInt8(from + 192 + (i >> 4));
    out[to + i] = Math.fround(d * scale) * ((low | (high << 4)) - 32);
  }
}
