/**
 * The few system calls that writing files needs, and the words for their failures.
 *
 * Everything writes by `io` (test/invariants/writes.test.ts sees to it), so that a test can make the
 * n-th call fail, or cut the power after it.
 * `files.ts` builds crash-safe writing on top.
 */
import { createHash, randomBytes } from "node:crypto";
import {
  closeSync,
  fsyncSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { FileError, messageOf, PreftuneError } from "./errors.ts";

/** The system calls used for writing. Tests replace members to inject faults. */
export interface FileIo {
  openSync: (path: string, flags: string) => number;
  writeSync: (fd: number, bytes: Uint8Array, offset: number, length: number) => number;
  fsyncSync: (fd: number) => void;
  ftruncateSync: (fd: number, bytes: number) => void;
  closeSync: (fd: number) => void;
  renameSync: (from: string, to: string) => void;
  mkdirSync: (path: string) => void;
  /** Of a directory with all that is in it; nothing happens where nothing is. */
  rmSync: (path: string) => void;
  symlinkSync: (target: string, path: string) => void;
  /** Gives a file a second name, which must not exist. */
  linkSync: (from: string, to: string) => void;
  /** Says that a file was used now. */
  utimesSync: (path: string, when: Date) => void;
}

/** The live table of system calls; see {@link FileIo}. */
export const io: FileIo = {
  openSync: (path, flags) => openSync(path, flags),
  writeSync: (fd, bytes, offset, length) => writeSync(fd, bytes, offset, length),
  fsyncSync: (fd) => fsyncSync(fd),
  ftruncateSync: (fd, bytes) => ftruncateSync(fd, bytes),
  closeSync: (fd) => closeSync(fd),
  renameSync: (from, to) => renameSync(from, to),
  mkdirSync: (path) => void mkdirSync(path),
  rmSync: (path) => rmSync(path, { recursive: true, force: true }),
  symlinkSync: (target, path) => symlinkSync(target, path),
  linkSync: (from, to) => linkSync(from, to),
  utimesSync: (path, when) => utimesSync(path, when, when),
};

/**
 * `mkdir -p`, safe against a power cut. (Node's own never returns where the system makes no directories, below /proc for
 * one.)
 *
 * @throws the system's error
 */
export function makeDirectories(path: string): void {
  const parent = dirname(path);
  try {
    io.mkdirSync(path);
  } catch (error) {
    const code = errorCode(error);
    if (code === "EEXIST" && statSync(path).isDirectory()) return;
    if (code !== "ENOENT" || parent === path) throw error;
    makeDirectories(parent);
    io.mkdirSync(path);
  }
  try {
    syncDirectory(parent);
  } catch (error) {
    // where others' directories may be entered and not listed, nothing more can be done
    if (errorCode(error) !== "EACCES") throw error;
  }
}

/** Most bytes handed to one write call; the kernel takes no more than 2 GiB at a time. */
const writeChunkBytes: number = 64 * 1024 * 1024;

/** The `code` of a system error, such as "ENOSPC", or null for anything else. */
export function errorCode(error: unknown): string | null {
  const code = error instanceof Error && "code" in error ? error.code : null;
  // Node's own codes ("ERR_INVALID_ARG_TYPE") are mistakes in code, not failures of the system.
  return typeof code === "string" && /^E[A-Z0-9]+$/.test(code) ? code : null;
}

/** A byte count for people: "512 bytes", "1.5 MiB". */
export function formatBytes(bytes: number): string {
  if (bytes < 1024) return `${bytes} bytes`;
  const units = ["KiB", "MiB", "GiB", "TiB", "PiB"];
  let value = bytes / 1024;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value.toFixed(1)} ${units[unit] ?? ""}`;
}

/** What failed and what it means for the user's files. */
export interface FileFailure {
  /** Verb phrase, e.g. "write" or "read". */
  action: string;
  path: string;
  cause: unknown;
  /** Bytes the operation needed, named when the disk is full; left out: those that the write which failed still had to write. */
  bytes?: number;
  /** A sentence on what was kept, e.g. "The file that was there before is untouched." */
  kept?: string;
}

/** A {@link FileError} that names the path, the reason, what was kept and what to do, or the cause where that says it already. Not thrown here. */
export function fileFailure(failure: FileFailure): PreftuneError {
  const { action, path, cause } = failure;
  if (cause instanceof PreftuneError) return cause;
  const kept = failure.kept === undefined ? "" : ` ${failure.kept}`;
  const { reason, remedy } = explain(failure);
  return new FileError(`Cannot ${action} ${path}: ${reason}.${kept} ${remedy}`, { cause });
}

/** Does `work`; what fails in it is a {@link fileFailure}. @throws {FileError} */
export function fileWork<T>(failure: Omit<FileFailure, "cause">, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    throw fileFailure({ ...failure, cause });
  }
}

function explain(failure: FileFailure): { reason: string; remedy: string } {
  const code = errorCode(failure.cause);
  switch (code) {
    case "ENOSPC":
    case "EDQUOT":
    case "EFBIG":
      return explainFull(code, failure);
    case "EROFS":
    case "EACCES":
    case "EPERM":
      return {
        reason: `permission denied or read-only (${code})`,
        remedy: "Choose a path this user may use, or change its permissions.",
      };
    case "EMFILE":
    case "ENFILE":
      return {
        reason: `too many files are open (${code})`,
        remedy: "Raise the limit (ulimit -n) or end programs that hold files, then run the command again.",
      };
    case "ENOENT":
      return { reason: "there is no such file or directory", remedy: "Check the path." };
    case "ENOTDIR":
      return { reason: "a part of the path is a file, not a directory", remedy: "Check the path." };
    case "EISDIR":
      return { reason: "it is a directory, a file was expected", remedy: "Check the path." };
    default:
      return {
        reason: messageOf(failure.cause),
        remedy: "Check the path and the disk, then run the command again.",
      };
  }
}

function explainFull(code: string, failure: FileFailure): { reason: string; remedy: string } {
  const { path, cause, bytes = (cause as { unwritten?: number }).unwritten } = failure;
  const what = {
    ENOSPC: "the disk is full",
    EDQUOT: "the disk quota is used up",
    EFBIG: "the file is larger than this disk or process allows",
  }[code];
  const needed = bytes === undefined ? "" : `, ${bytes} bytes (${formatBytes(bytes)}) are needed`;
  return {
    reason: `${what} (${code})${needed}`,
    remedy: `Free space under ${dirname(path)} or choose another place, then run the command again.`,
  };
}

/**
 * Writes all of `bytes` to an open file, however few the system takes at a time.
 *
 * @throws the system's error, with the bytes that are `unwritten`; a write that takes nothing becomes ENOSPC instead of an endless loop
 */
export function writeAllSync(fd: number, bytes: Uint8Array): void {
  let offset = 0;
  try {
    while (offset < bytes.byteLength) {
      const written = io.writeSync(fd, bytes, offset, Math.min(writeChunkBytes, bytes.byteLength - offset));
      if (written <= 0)
        throw Object.assign(new Error("ENOSPC: the system wrote nothing"), { code: "ENOSPC" });
      offset += written;
    }
  } catch (error) {
    throw Object.assign(error as Error, { unwritten: bytes.byteLength - offset });
  }
}

/** Appends to `path`, which is made where it is not there. @throws the system's error; a part may be written by then */
export function appendBytes(path: string, bytes: Uint8Array): void {
  const fd = io.openSync(path, "a");
  try {
    writeAllSync(fd, bytes);
  } finally {
    io.closeSync(fd);
  }
}

/**
 * Creates `path` (which must not exist), lets `fill` write to it, syncs and closes it.
 *
 * @throws the system's error or that of `fill`; a partial file is removed, one that stood there before is not touched
 */
export function createFileSync(path: string, fill: (fd: number) => void, isSynced = true): void {
  const fd = io.openSync(path, "wx");
  let open = true;
  try {
    fill(fd);
    if (isSynced) io.fsyncSync(fd);
    open = false;
    io.closeSync(fd);
  } catch (error) {
    if (open) ignoreErrors(() => io.closeSync(fd));
    ignoreErrors(() => io.rmSync(path));
    throw error;
  }
}

/**
 * Writes all that `chunks` gives to a new file `path`, and syncs it.
 *
 * @throws the system's error or that of `chunks`; a partial file is left
 */
export async function writeChunks(path: string, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  const fd = io.openSync(path, "w");
  try {
    for await (const chunk of chunks) writeAllSync(fd, chunk);
    io.fsyncSync(fd);
  } finally {
    io.closeSync(fd);
  }
}

/** Makes the entries of a directory durable. File systems that cannot sync directories are let pass. */
export function syncDirectory(path: string): void {
  const unsupported = ["EINVAL", "ENOTSUP", "ENOSYS"];
  const fd = io.openSync(path, "r");
  try {
    io.fsyncSync(fd);
  } catch (error) {
    if (!unsupported.includes(errorCode(error) ?? "")) throw error;
  } finally {
    io.closeSync(fd);
  }
}

/** Syncs every file and directory under `path`, leaves first, `path` itself last. */
export function syncTree(path: string): void {
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    const child = `${path}/${entry.name}`;
    if (entry.isDirectory()) syncTree(child);
    else if (entry.isFile()) syncFile(child);
  }
  syncDirectory(path);
}

/** Renames a file that another program wrote to where it is to stand, safe against a power cut. @throws {FileError} */
export function putInPlace(fresh: string, target: string): void {
  fileWork({ action: "write", path: target }, () => {
    syncFile(fresh);
    io.renameSync(fresh, target);
    syncDirectory(dirname(target));
  });
}

/** Makes the content of a file durable. @throws the system's error */
export function syncFile(path: string): void {
  const fd = io.openSync(path, "r");
  try {
    io.fsyncSync(fd);
  } finally {
    io.closeSync(fd);
  }
}

/** Runs a clean-up step whose own failure must not hide the error that led to it; whether it was done. */
export function ignoreErrors(step: () => void): boolean {
  try {
    step();
    return true;
  } catch {
    // The first error is the one worth reporting.
    return false;
  }
}

/** `<pid>-<random>`: tells the left-overs of a dead process from work under way. */
export function uniqueTag(): string {
  return `${process.pid}-${randomBytes(4).toString("hex")}`;
}

/** The hidden path `.<name>.<kind>-<tag>` beside `path`; long names are shortened by a hash to fit in 255 bytes. */
export function siblingName(path: string, kind: string, tag: string): string {
  const name = basename(path);
  const short =
    Buffer.byteLength(name) <= 180 ? name : createHash("sha256").update(name).digest("hex").slice(0, 32);
  return join(dirname(path), `.${short}.${kind}-${tag}`);
}

/** Bytes free for this user on the file system of `dir`, or Infinity where the system does not say. */
export function statFreeBytes(dir: string): number {
  const stats = statfsSync(dir);
  return stats.blocks === 0 ? Number.POSITIVE_INFINITY : stats.bavail * stats.bsize;
}
