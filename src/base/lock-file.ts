/**
 * Lock files: each names the process that holds it. Whether that still runs is looked up by its number or, where the number means
 * nothing, by a lock of the kernel's: in another PID namespace of the host, such as another container, or this one before it was
 * started again.
 */
import { existsSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";
import { basename, dirname, join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import {
  createFileSync,
  errorCode,
  fileFailure,
  ignoreErrors,
  io,
  siblingName,
  uniqueTag,
  writeAllSync,
} from "./file-io.ts";
import { readFileBytes } from "./open-file.ts";
import { isRunning, startOf } from "./process-state.ts";

/** Who holds a lock. */
export interface Holder {
  pid: number;
  host: string;
  /** The system's number of the thread, where it tells: that of a worker ends before its process does. */
  thread: number | null;
  /** Start of the thread in clock ticks since boot, where the system tells; tells a reused number from the holder. */
  started: string | null;
  /** The PID namespace that `pid` is a number of, where the system tells. */
  namespace: string | null;
  /** The name of its {@link HeldFile}; null: it has none. */
  held: string | null;
}

/** Whether a holder runs; unknown: nothing tells that from here. */
export type HolderState = "running" | "gone" | "unknown";

/** A lock file that this process wrote. */
export class LockFile {
  readonly path: string;
  readonly #text: string;
  readonly #held: HeldFile | null;

  private constructor(path: string, more: object) {
    this.path = path;
    const namespace = linkOf("self/ns/pid");
    // outside containers numbers tell; and taking a lock can take long on a network file system
    const isContained = namespace !== null && namespace !== firstNamespace;
    this.#held = isContained ? HeldFile.beside(path) : null;
    const { pid } = process;
    const thread = ownThread();
    const started = startOf(pid, thread ?? undefined);
    const held = this.#held?.name ?? null;
    const holder: Holder = { pid, thread, host: hostname(), started, namespace, held };
    this.#text = `${JSON.stringify({ ...holder, ...more })}\n`;
  }

  /**
   * Makes the file; null where there is one.
   *
   * @param more - what else it is to say
   * @throws {FileError} when it cannot be written
   */
  static create(
    path: string,
    more: object = {},
    { isSynced = true }: { isSynced?: boolean } = {},
  ): LockFile | null {
    // before anything is written: who waits for it asks often
    if (existsSync(path)) return null;
    const lock = new LockFile(path, more);
    const bytes = Buffer.from(lock.#text);
    try {
      createFileSync(path, (fd) => writeAllSync(fd, bytes), isSynced);
      return lock;
    } catch (cause) {
      lock.#held?.release();
      if (errorCode(cause) === "EEXIST") return null;
      throw fileFailure({ action: "write", path, cause, bytes: bytes.length });
    }
  }

  /** Removes the file, unless another process has taken it over; false: that failed. */
  remove(): boolean {
    const text = textOf(this.path);
    const isOthers = text !== null && text !== this.#text;
    if (!isOthers && !ignoreErrors(() => io.rmSync(this.path))) return false;
    this.#held?.release();
    return true;
  }
}

/** Number of the PID namespace of a system's first process: `PID_NS_INIT_INO` of Linux. */
const firstNamespace = "pid:[4026531836]";

/** Held by this process; what nothing refers to would be closed. */
const open: Set<DatabaseSync> = new Set();

/**
 * A new file beside a lock, with a lock on it that the kernel frees when this process ends. It is that of a SQLite database without
 * content: Node has no other.
 */
export class HeldFile {
  readonly name: string;
  readonly #path: string;
  readonly #database: DatabaseSync;

  private constructor(path: string) {
    this.name = basename(path);
    this.#path = path;
    const { DatabaseSync } = process.getBuiltinModule("node:sqlite");
    this.#database = new DatabaseSync(path);
    open.add(this.#database);
  }

  /** Null where there can be none: no locks on this file system, no SQLite in this Node. */
  static beside(lock: string): HeldFile | null {
    let file: HeldFile | null = null;
    try {
      file = new HeldFile(siblingName(lock, "held", uniqueTag()));
      // in memory: the journal would be a second file
      file.#database.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
      return file;
    } catch {
      file?.release();
      return null;
    }
  }

  /** Removes the file. */
  release(): void {
    ignoreErrors(() => io.rmSync(this.#path));
    open.delete(this.#database);
    ignoreErrors(() => this.#database.close());
  }
}

/** The holder that a lock file names, with what else it says; null where there is no file, or none that can be read. */
export function readHolder(path: string): (Holder & Readonly<Record<string, unknown>>) | null {
  try {
    const given = JSON.parse(textOf(path) ?? "") as Partial<Holder>;
    if (!Number.isInteger(given.pid) || typeof given.host !== "string") return null;
    const nothing = { thread: null, started: null, namespace: null, held: null };
    return { ...nothing, ...(given as Pick<Holder, "pid" | "host">) };
  } catch {
    return null;
  }
}

/** Whether the holder's number is one that can be looked up here. A lock of an earlier version says nothing of namespaces. */
export function isHere({ host, namespace }: Holder): boolean {
  return host === hostname() && (namespace === null || namespace === linkOf("self/ns/pid"));
}

/** "process 12", with its host or namespace where that is another. */
export function holderName(holder: Holder): string {
  const { pid, host } = holder;
  if (isHere(holder)) return `process ${pid}`;
  return host === hostname()
    ? `process ${pid} in another PID namespace on ${host}`
    : `process ${pid} on ${host}`;
}

/** Whether the holder of the lock at `path` still runs. */
export function holderState(holder: Holder, path: string): HolderState {
  const { pid, host, thread, started } = holder;
  if (host !== hostname()) return "unknown";
  if (!isHere(holder)) return stateByLock(heldPath(holder, path));
  const id = thread ?? undefined;
  const isSame = isRunning(pid, id) && (started === null || startOf(pid, id) === started);
  return isSame ? "running" : "gone";
}

/** Where the holder's {@link HeldFile} is; null: it has none. */
export function heldPath({ held }: Holder, path: string): string | null {
  return /^\.[^/]+\.held-[\w-]+$/.test(held ?? "") ? join(dirname(path), String(held)) : null;
}

/** Removes the lock file of a process that is gone. @throws the system's error */
export function removeLeft(path: string): void {
  const holder = readHolder(path);
  const held = holder === null ? null : heldPath(holder, path);
  io.rmSync(path);
  if (held !== null) ignoreErrors(() => io.rmSync(held));
}

/** SQLite's code for a database that another has locked. */
const busy = 5;

function stateByLock(path: string | null): HolderState {
  if (path === null) return "unknown";
  try {
    const { DatabaseSync } = process.getBuiltinModule("node:sqlite");
    const database = new DatabaseSync(path, { readOnly: true });
    try {
      database.exec("SELECT 1 FROM sqlite_schema");
      return "gone";
    } finally {
      database.close();
    }
  } catch (error) {
    return error instanceof Error && "errcode" in error && error.errcode === busy ? "running" : "unknown";
  }
}

function textOf(path: string): string | null {
  try {
    return readFileBytes(path).toString("utf8");
  } catch {
    return null;
  }
}

function ownThread(): number | null {
  const link = linkOf("thread-self");
  return link === null ? null : Number(basename(link));
}

/** Where a link in /proc leads; null where there is none. */
function linkOf(name: string): string | null {
  try {
    return readlinkSync(`/proc/${name}`);
  } catch {
    return null;
  }
}
