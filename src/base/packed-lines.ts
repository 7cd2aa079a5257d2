/**
 * Lines of a gzip file that grows by members (RFC 1952), such as one that a run appends to: unpacked a member at a time, so that
 * the file may be longer than memory and any string.
 */
import { closeSync, fstatSync } from "node:fs";
import { constants, crc32, inflateRawSync } from "node:zlib";
import { FormatError, messageOf } from "./errors.ts";
import { linesIn } from "./lines.ts";
import { openFile, readAt } from "./open-file.ts";

/** Bytes that are read for a member at least. */
const leastRead = 64 * 1024;

/** What follows a member's content: its checksum and its length. */
const trailerBytes = 8;

/**
 * The lines of the file at `path`, without empty ones. Of a truncated file, those that are complete.
 *
 * @throws {FormatError} for bytes that are no gzip, after the lines before them
 */
export function* packedLines(path: string): Generator<string> {
  for (const line of linesIn(membersOf(path))) {
    if (line.length > 1) yield line.toString("utf8", 0, line.length - 1);
  }
}

/**
 * The member that begins at the byte `from`, and where it ends; null where there is none that is complete yet.
 *
 * @throws {FormatError} for bytes that are no gzip
 */
export function packedMember(path: string, from: number): { content: Buffer; end: number } | null {
  const fd = openFile(path);
  try {
    const { size } = fstatSync(fd);
    if (from >= size) return null;
    const { content, bytes, isWhole } = memberAt({ fd, size, path }, from, leastRead);
    return isWhole ? { content, end: from + bytes } : null;
  } finally {
    closeSync(fd);
  }
}

/** The contents of the file's members. */
function* membersOf(path: string): Generator<Buffer> {
  const fd = openFile(path);
  try {
    const { size } = fstatSync(fd);
    let usual = leastRead;
    for (let from = 0; from < size; ) {
      const { content, bytes } = memberAt({ fd, size, path }, from, usual);
      yield content;
      from += bytes;
      usual = Math.max(leastRead, bytes);
    }
  } finally {
    closeSync(fd);
  }
}

interface Member {
  content: Buffer;
  /** What it takes in the file. */
  bytes: number;
  /** Whether it is not cut by the file's end. */
  isWhole: boolean;
}

/** The member that begins at `from`; of one that is cut by the file's end, what there is. */
function memberAt(
  { fd, size, path }: { fd: number; size: number; path: string },
  from: number,
  usual: number,
): Member {
  for (let length = usual; ; length *= 2) {
    const bytes = readAt(fd, from, Math.min(length, size - from));
    const isLast = from + length >= size;
    try {
      const member = unpacked(bytes);
      if (isLast || member.isWhole) return member;
    } catch (cause) {
      throw new FormatError(
        `${path}: expected members of gzip, got bytes from ${from} on that are none (${messageOf(cause)}).`,
        { cause },
      );
    }
  }
}

/** The member that `bytes` begin with. */
function unpacked(bytes: Buffer): Member {
  const cut = { content: Buffer.alloc(0), bytes: bytes.length, isWhole: false };
  // zeros at a file's end are what a power cut leaves
  if (bytes.every((byte) => byte === 0)) return cut;
  if (bytes[0] !== 0x1f || (bytes[1] ?? 0x8b) !== 0x8b) throw new Error("they do not begin as one");
  const begin = headerBytes(bytes);
  if (begin >= bytes.length) return cut;
  // what there is of a member that is cut is read as well
  const { buffer: content, engine } = inflateRawSync(bytes.subarray(begin), {
    ...{ finishFlush: constants.Z_SYNC_FLUSH, info: true },
  }) as unknown as { buffer: Buffer; engine: { bytesWritten: number } };
  const end = begin + engine.bytesWritten;
  if (end + trailerBytes > bytes.length) return { ...cut, content };
  if (bytes.readUInt32LE(end) !== crc32(content)) {
    throw new Error("the checksum is another than that of its content");
  }
  return { content, bytes: end + trailerBytes, isWhole: true };
}

/** Length of a member's header, with the fields that its flags announce; more than there is where it is cut. */
function headerBytes(bytes: Buffer): number {
  const fixed = 10;
  if (bytes.length < fixed + 2) return fixed + 2;
  const flags = bytes.readUInt8(3);
  let end = fixed;
  if ((flags & 0x04) !== 0) end += 2 + bytes.readUInt16LE(end);
  // a name, then a comment, each with a zero at its end
  for (const flag of [0x08, 0x10]) {
    if ((flags & flag) === 0) continue;
    const zero = bytes.indexOf(0, end);
    if (zero < 0) return bytes.length;
    end = zero + 1;
  }
  return (flags & 0x02) === 0 ? end : end + 2;
}
