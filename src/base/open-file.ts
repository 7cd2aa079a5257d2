/**
 * Files opened for reading: regular ones only. A named pipe that nobody writes to, a socket or a device such as /dev/zero is
 * refused by name, so that no command waits for it or reads it without end. All reading of files begins here.
 */
import { closeSync, constants, fstatSync, openSync, readSync, type Stats, statSync } from "node:fs";
import { FileError, FormatError } from "./errors.ts";
import { fileFailure, formatBytes } from "./file-io.ts";

/** Largest file read whole unless a caller allows more: the tokenizer.json of the largest vocabularies has 40 MB. */
const maxFileBytes: number = 256 * 1024 * 1024;

/** Most that one buffer is filled with: for preftune's files that grow with a run. */
export const mostAtOnce: number = 2 ** 31 - 1;

/** Bytes of a piece of a file that is read in pieces. */
const pieceBytes = 4 * 1024 * 1024;

/** Read at once where the system does not tell how long a file is, as for those of /proc. */
const chunkBytes = 64 * 1024;

/**
 * A descriptor of the regular file at `path`, links followed, for reading. It never waits for another process.
 *
 * @throws {FileError} for what is neither a file nor a directory; the system's error for the rest (EISDIR for a directory)
 */
export function openFile(path: string): number {
  // Asked before as well as after: opening alone can change what a device does.
  requireRegular(path, statSync(path));
  // Without O_NONBLOCK the opening of a pipe that took the file's place in between would wait for a writer.
  const fd = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  try {
    requireRegular(path, fstatSync(fd));
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/**
 * What `use` makes of the open file, which is closed after it.
 *
 * @throws {FormatError} as `use` throws it
 * @throws {FileError} for whatever else goes wrong
 */
export function withFile<T>(path: string, use: (fd: number) => T): T {
  let fd: number | null = null;
  try {
    fd = openFile(path);
    return use(fd);
  } catch (cause) {
    throw fileFailure({ action: "read", path, cause });
  } finally {
    if (fd !== null) closeSync(fd);
  }
}

function requireRegular(path: string, stats: Stats): void {
  if (stats.isFile()) return;
  if (stats.isDirectory()) {
    throw Object.assign(new Error("EISDIR: it is a directory, a file was expected"), {
      code: "EISDIR",
      path,
    });
  }
  throw new FileError(`${path}: expected a file, got ${kindOf(stats)}. Give the path of a regular file.`);
}

function kindOf(stats: Stats): string {
  if (stats.isFIFO()) return "a named pipe";
  return stats.isSocket() ? "a socket" : "a device";
}

/** What lies at `path`, links followed; null for nothing, and for what the system does not reach: links in a circle, say. */
export function statsOf(path: string): Stats | null {
  try {
    return statSync(path, { throwIfNoEntry: false }) ?? null;
  } catch {
    return null;
  }
}

/** Whether `path` leads to a directory. */
export function isFolder(path: string): boolean {
  return statsOf(path)?.isDirectory() === true;
}

/**
 * All bytes of a regular file.
 *
 * @param most - bytes that it may have, checked before any is read
 * @throws {FileError} for what is no file, {@link FormatError} for one that is larger; the system's error for the rest
 */
export function readFileBytes(path: string, most: number = maxFileBytes): Buffer {
  const fd = openFile(path);
  try {
    const { size } = fstatSync(fd);
    if (size > most) throw tooLarge(path, most, formatBytes(size));
    if (size > 0) return readUpTo(fd, size);
    const chunks: Buffer[] = [];
    for (let done = 0; ; ) {
      const chunk = readUpTo(fd, chunkBytes);
      if (chunk.length === 0) return Buffer.concat(chunks);
      chunks.push(chunk);
      done += chunk.length;
      if (done > most) throw tooLarge(path, most, "more");
    }
  } finally {
    closeSync(fd);
  }
}

/**
 * The bytes of a regular file in pieces. Each is valid until the next one is asked for.
 *
 * @throws {FileError} for what is no file; the system's error for the rest
 */
export function* filePieces(path: string, range: { from?: number; to?: number } = {}): Generator<Buffer> {
  const { from = 0, to = Number.POSITIVE_INFINITY } = range;
  const fd = openFile(path);
  try {
    // no more than the file has: pieces of 4 MiB for each of many small files would have V8 collect garbage all the time
    const piece = Buffer.allocUnsafe(Math.min(pieceBytes, fstatSync(fd).size + 1));
    for (let at = from; at < to; ) {
      const read = readSync(fd, piece, 0, Math.min(piece.length, to - at), at);
      if (read === 0) return;
      yield piece.subarray(0, read);
      at += read;
    }
  } finally {
    closeSync(fd);
  }
}

/** The bytes of a regular file from `from` to before `to`, as far as there are any. @throws as {@link filePieces} */
export function readRange(path: string, from: number, to: number): Buffer {
  return Buffer.concat(Array.from(filePieces(path, { from, to }), (piece) => Buffer.from(piece)));
}

function tooLarge(path: string, most: number, got: string): FormatError {
  return new FormatError(`${path}: expected a file of at most ${formatBytes(most)}, got ${got}.`);
}

/**
 * Fills `bytes` with those of an open file from the place `from` on, or, null, from where it was read last.
 *
 * @returns how many there were
 */
export function readInto(fd: number, bytes: Uint8Array, from: number | null): number {
  let done = 0;
  while (done < bytes.length) {
    const place = from === null ? null : from + done;
    const read = readSync(fd, bytes, done, Math.min(bytes.length - done, 1 << 30), place);
    if (read === 0) break;
    done += read;
  }
  return done;
}

/** `length` bytes of an open file from the place `from` on, or those that there are. */
export function readAt(fd: number, from: number, length: number): Buffer {
  return readUpTo(fd, length, from);
}

function readUpTo(fd: number, length: number, from: number | null = null): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  const done = readInto(fd, bytes, from);
  return bytes.subarray(0, done);
}
