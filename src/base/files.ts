/**
 * Crash-safe writing and clear reading of files.
 *
 * After a power cut or a kill at any moment, a path written here holds either all of the old content or all of the
 * new: data and directory are synced, and one rename makes the change visible.
 */
import { createHash, type Hash } from "node:crypto";
import { existsSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { setImmediate as othersFirst } from "node:timers/promises";
import { FileError, FormatError, messageOf } from "./errors.ts";
import {
  createFileSync,
  fileFailure,
  fileWork,
  formatBytes,
  ignoreErrors,
  io,
  makeDirectories,
  siblingName,
  statFreeBytes,
  syncDirectory,
  uniqueTag,
  writeAllSync,
} from "./file-io.ts";
import { type JsonLimits, requireJsonLimits } from "./json-limits.ts";
import { filePieces, readFileBytes, statsOf } from "./open-file.ts";

export { recoverDirectory, removeLeftOvers, removeLeftOversOf, writeDirectoryAtomic } from "./directories.ts";

/**
 * Replaces the content of `path`, or leaves it as it was: temp file beside it, sync, rename, directory sync.
 *
 * A symbolic link at `path` is replaced by the file. Strings are written as UTF-8.
 * @throws {FileError} naming path and cause; the temp file is gone and the old content untouched
 */
export function writeFileAtomic(path: string, content: Uint8Array | string): void {
  const bytes = typeof content === "string" ? Buffer.from(content, "utf8") : content;
  const temp = siblingName(path, "tmp", uniqueTag());
  let kept = existsSync(path)
    ? "The file that was there before is untouched."
    : "Nothing was there before, nothing is left behind.";
  try {
    createFileSync(temp, (fd) => writeAllSync(fd, bytes));
    io.renameSync(temp, path);
    kept = "The new content is in place, but could not be made safe against a power cut.";
    syncDirectory(dirname(path));
  } catch (cause) {
    ignoreErrors(() => io.rmSync(temp));
    throw fileFailure({ action: "write", path, cause, bytes: bytes.byteLength, kept });
  }
}

/**
 * Removes the file or directory `path`, with all that is in it, if it is there.
 *
 * @throws {FileError} naming path and cause
 */
export function remove(path: string): void {
  fileWork({ action: "remove", path }, () => io.rmSync(path));
}

/**
 * Makes the directory `path` and those above it, unless they are there.
 *
 * @throws {FileError} naming path and cause
 */
export function makeDirectory(path: string): void {
  fileWork({ action: "make directory", path }, () => makeDirectories(path));
}

/** SHA-256 of bytes or of a string's UTF-8, as 64 hexadecimal digits. */
export function sha256(content: Uint8Array | string): string {
  return createHash("sha256").update(content).digest("hex");
}

/**
 * SHA-256 of a file as 64 hexadecimal digits, read in pieces of 4 MiB.
 *
 * @throws {FileError} when it cannot be read
 */
export function sha256File(path: string): string {
  return hashOfFile(path).digest("hex");
}

/** Digests of files that were read, by path, size and times. */
const digests: Map<string, string> = new Map();

/** {@link sha256File} of a file that is asked for again, which is read once while it stays as it is. */
export function sha256FileOnce(path: string): string {
  const key = digestKey(path);
  const digest = digests.get(key) ?? sha256File(path);
  digests.set(key, digest);
  return digest;
}

/** The same for a program that others wait for: it does other work between the pieces, of which a large file has many. */
export async function sha256FileInTurns(path: string): Promise<string> {
  const key = digestKey(path);
  const known = digests.get(key);
  if (known !== undefined) return known;
  const hash = createHash("sha256");
  try {
    for (const piece of filePieces(path)) {
      hash.update(piece);
      await othersFirst();
    }
  } catch (cause) {
    throw fileFailure({ action: "read", path, cause });
  }
  const digest = hash.digest("hex");
  digests.set(key, digest);
  return digest;
}

function digestKey(path: string): string {
  const { size = 0, mtimeMs = 0, ctimeMs = 0 } = statsOf(path) ?? {};
  return `${resolve(path)} ${size} ${mtimeMs} ${ctimeMs}`;
}

/** The SHA-256 of a file's first `bytes` bytes, to which more can be added. @throws {FileError} when it cannot be read */
export function hashOfFile(path: string, bytes: number = Number.POSITIVE_INFINITY): Hash {
  const hash = createHash("sha256");
  try {
    for (const piece of filePieces(path, { to: bytes })) hash.update(piece);
  } catch (cause) {
    throw fileFailure({ action: "read", path, cause });
  }
  return hash;
}

/**
 * Bytes this user can still write where `dir` is or, if it does not exist yet, where it would be made.
 *
 * @throws {FileError} when the system does not answer
 */
export function freeBytes(dir: string): number {
  let path = resolve(dir);
  while (!existsSync(path) && path !== dirname(path)) path = dirname(path);
  try {
    return statFreeBytes(path);
  } catch (cause) {
    throw fileFailure({ action: "ask for the free space of", path, cause });
  }
}

/**
 * Refuses to start a write that cannot fit.
 *
 * @param what - what is about to be written, e.g. "the checkpoint"
 * @throws {FileError} naming the bytes needed and available
 */
export function requireFreeBytes(dir: string, bytes: number, what: string): void {
  const available = freeBytes(dir);
  if (available >= bytes) return;
  throw new FileError(
    `Cannot write ${what} to ${dir}: ${bytes} bytes (${formatBytes(bytes)}) are needed, ` +
      `${available} bytes (${formatBytes(available)}) are free. Nothing was written. Free space or choose another place.`,
  );
}

/**
 * The text of a UTF-8 file, without a byte order mark.
 *
 * @throws {FileError} when it is missing, a directory, or unreadable
 * @throws {FormatError} when it is not UTF-8 or larger than 256 MiB
 */
export function readTextFile(path: string): string {
  return decoded(readBytes(path), path);
}

function readBytes(path: string, most?: number): Buffer {
  try {
    return readFileBytes(path, most);
  } catch (cause) {
    throw fileFailure({ action: "read", path, cause });
  }
}

function decoded(bytes: Buffer, path: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new FormatError(`${path}: expected UTF-8 text, got other bytes. Save the file as UTF-8.`, {
      cause,
    });
  }
}

/**
 * The value of a JSON file.
 *
 * @param limits - for files that come from others: what they may have, checked before they are parsed
 * @throws {FileError} when it cannot be read
 * @throws {FormatError} when it is not JSON, with line and column, or beyond the limits
 */
export function readJsonFile(path: string, limits: JsonLimits | null = null): unknown {
  const bytes = readBytes(path, limits?.bytes);
  if (limits !== null) requireJsonLimits(bytes, path, limits);
  const text = decoded(bytes, path);
  try {
    return JSON.parse(text);
  } catch (cause) {
    const where = jsonErrorPlace(text, messageOf(cause));
    throw new FormatError(`${path}${where}: expected JSON: ${messageOf(cause)}. Fix the file there.`, {
      cause,
    });
  }
}

function jsonErrorPlace(text: string, message: string): string {
  const position = /position (\d+)/.exec(message)?.[1];
  const before = text.slice(0, position === undefined ? text.length : Number(position));
  const lines = before.split("\n");
  return `:${lines.length}:${(lines.at(-1) ?? "").length + 1}`;
}
