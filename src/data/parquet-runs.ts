/** The encodings of Parquet's levels, indices and lengths, checked before they are decoded. */

/** Content that is not what a page's header says. `message` continues a sentence about the file. */
export class PageError extends Error {}

/** A part of some bytes. */
export interface ByteSpan {
  bytes: Uint8Array;
  start: number;
  end: number;
}

/**
 * Checks `count` values of the hybrid of runs and packed bits.
 *
 * @param width - bits of a value, 1 to 32
 * @param take - given each value and how often it comes
 * @throws PageError when there are fewer, or a run is longer than what is left
 */
export function scanRuns(
  span: ByteSpan,
  width: number,
  count: number,
  take: (value: number, times: number) => void,
): void {
  const { bytes, end } = span;
  let at = span.start;
  for (let left = count; left > 0; ) {
    const { value: header, at: begin } = varint(bytes, at, end);
    const run =
      header % 2 === 1 ? packedRun(header, width, left) : { times: header / 2, bytes: Math.ceil(width / 8) };
    if (run.times > left || begin + run.bytes > end)
      throw new PageError("a run of it is longer than its page");
    if (header % 2 === 0) take(littleEndian(bytes, begin, run.bytes), run.times);
    else for (let i = 0; i < run.times; i++) take(packedBits(bytes, begin, i * width, width), 1);
    at = begin + (header % 2 === 0 ? run.bytes : ((header - 1) / 2) * width);
    left -= run.times;
  }
}

/**
 * Packed values come in groups of eight, of which writers fill the last, and some (DuckDB) whole blocks: places beyond the values that
 * are left are passed over. Bytes of the last group may be missing; those of further ones are there.
 */
function packedRun(header: number, width: number, left: number): { times: number; bytes: number } {
  const groups = (header - 1) / 2;
  const times = Math.min(8 * groups, left);
  return { times, bytes: 8 * groups - left < 8 ? Math.ceil((times * width) / 8) : groups * width };
}

function littleEndian(bytes: Uint8Array, at: number, size: number): number {
  let value = 0;
  for (let i = size - 1; i >= 0; i--) value = value * 0x100 + (bytes[at + i] ?? 0);
  return value;
}

/** The `width` bits behind the first `skip` bits from `at` on. */
function packedBits(bytes: Uint8Array, at: number, skip: number, width: number): number {
  const first = at + (skip >>> 3);
  const shift = skip & 7;
  const low =
    (bytes[first] ?? 0) +
    (bytes[first + 1] ?? 0) * 0x100 +
    (bytes[first + 2] ?? 0) * 0x10000 +
    (bytes[first + 3] ?? 0) * 0x1000000 +
    (bytes[first + 4] ?? 0) * 0x100000000;
  return Math.floor(low / 2 ** shift) % 2 ** width;
}

/**
 * The 32-bit numbers of DELTA_BINARY_PACKED, and where they end.
 *
 * @throws PageError when they are not `count`, or their blocks make no sense
 */
export function deltaNumbers(span: ByteSpan, count: number): { numbers: Int32Array; end: number } {
  const { bytes, end } = span;
  const { blockSize, miniblocks, first, at: begin } = deltaHeader(span, count);
  const numbers = new Int32Array(count);
  const each = blockSize / miniblocks;
  let [at, value, done] = [begin, first, Math.min(1, count)];
  if (count > 0) numbers[0] = value;
  while (done < count) {
    const least = zigzag(bytes, at, end);
    at = least.at + miniblocks;
    for (let m = 0; m < miniblocks && done < count; m++) {
      const width = bytes[least.at + m] ?? 33;
      const taken = Math.min(each, count - done);
      if (width > 32 || at + Math.ceil((taken * width) / 8) > end) {
        throw new PageError("its lengths are no such block");
      }
      for (let i = 0; i < taken; i++) {
        value = (value + least.value + packedBits(bytes, at, i * width, width)) | 0;
        numbers[done++] = value;
      }
      at += (each * width) / 8;
    }
  }
  return { numbers, end: at };
}

/**
 * The header of DELTA_BINARY_PACKED.
 *
 * @throws PageError when it announces another number of values, or impossible blocks
 */
export function deltaHeader(
  { bytes, start, end }: ByteSpan,
  count: number,
): { blockSize: number; miniblocks: number; first: number; at: number } {
  const blockSize = varint(bytes, start, end);
  const miniblocks = varint(bytes, blockSize.at, end);
  const total = varint(bytes, miniblocks.at, end);
  const first = zigzag(bytes, total.at, end);
  const each = blockSize.value / miniblocks.value;
  const isSound = miniblocks.value <= 1024 && blockSize.value <= 2 ** 20 && each > 0 && each % 8 === 0;
  if (!isSound) throw new PageError("its blocks of differences are of a size that cannot be");
  if (total.value !== count) throw new PageError("its blocks hold another number of values");
  return { blockSize: blockSize.value, miniblocks: miniblocks.value, first: first.value, at: first.at };
}

interface NumberAt {
  value: number;
  at: number;
}

function varint(bytes: Uint8Array, from: number, end: number): NumberAt {
  let value = 0;
  for (let i = 0; i < 10; i++) {
    const byte = bytes[from + i];
    if (byte === undefined || from + i >= end) throw new PageError("it ends too early");
    value += (byte & 0x7f) * 2 ** (7 * i);
    if (byte < 0x80) return { value, at: from + i + 1 };
  }
  throw new PageError("it has a number without an end");
}

function zigzag(bytes: Uint8Array, from: number, end: number): NumberAt {
  const { value, at } = varint(bytes, from, end);
  return { value: value % 2 === 0 ? value / 2 : -(value + 1) / 2, at };
}
