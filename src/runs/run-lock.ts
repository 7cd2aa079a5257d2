/** One trainer per run: a lock file with the process that writes the run. */
import { readlinkSync, statSync } from "node:fs";
import { hostname } from "node:os";
import { basename, dirname } from "node:path";
import { setTimeout } from "node:timers/promises";
import { TrainingError } from "../base/errors.ts";
import { createFileSync, errorCode, fileFailure, ignoreErrors, io, writeAllSync } from "../base/file-io.ts";
import { makeDirectory } from "../base/files.ts";
import { readFileBytes } from "../base/open-file.ts";
import { isRunning, startOf } from "../base/process-state.ts";
import { alone, onFirst, type Together } from "../base/ranks.ts";
import { shellWord } from "../base/shell-word.ts";

/** Who holds a lock. */
interface Holder {
  pid: number;
  host: string;
  /** The system's number of the thread, where it tells: that of a worker ends before its process does. */
  thread: number | null;
  /** Start of the thread in clock ticks since boot, where the system tells; tells a reused number from the holder. */
  started: string | null;
  /** What the launcher started it for, where there is one that says. */
  job: StartedJob | null;
}

/** A start of a launcher's job: its name, the same for all starts and no other job's, and how many starts there were before. */
export interface StartedJob {
  id: string | null;
  restarts: number;
}

/** A lock file this young may still be being written. */
const WRITING_MS = 5000;

/** Another process writes the run. */
export class RunLockedError extends TrainingError {}

/** What a lock is on, as messages have it. */
interface Locked {
  /** What this process was started for; null: by hand. */
  job: StartedJob | null;
  what: "run" | "output";
  /** What to choose instead. */
  other: string;
}

/** A held lock. */
export class RunLock {
  readonly path: string;
  /** What was taken over from a process that is gone, to be shown to the user; null when the lock was free. */
  readonly note: string | null;

  /**
   * Takes the lock at `path`. A lock of a process that is gone is taken over; on another host, one of an earlier start of the same
   * job: its launcher has ended that start, and a rank that it could not reach ends by itself, as its others are gone, and writes
   * nothing in between, since every write follows an agreement of all ranks.
   *
   * @param job - what this process was started for; null: by hand
   * @param on - what it is on, for messages
   * @throws {RunLockedError} when another process holds it
   */
  constructor(
    path: string,
    job: StartedJob | null = null,
    on: Omit<Locked, "job"> = { what: "run", other: "another output_dir" },
  ) {
    this.path = path;
    this.note = create(path, job) ? null : takeOver(path, { job, ...on });
  }

  /**
   * Gives the lock back. It is tried twice: one that stays holds the run until this process ends, which for a program that
   * does other work may be long.
   */
  release(): void {
    for (let attempt = 1; attempt <= 2; attempt++) if (ignoreErrors(() => io.rmSync(this.path))) return;
  }
}

/**
 * Holds what a command writes for this process, until disposed: two of them would undo each other's work, or do it twice.
 *
 * @param path - of the lock, beside the output; its folder is made
 * @param by - the processes that write it together, of which the first holds the lock, and what they were started for
 * @throws {RunLockedError} when another process holds it
 */
export function lockOutput(
  path: string,
  { ranks = alone, job = null }: { ranks?: Together; job?: StartedJob | null } = {},
): Disposable {
  const held: RunLock[] = [];
  onFirst(ranks, () => {
    makeDirectory(dirname(path));
    held.push(new RunLock(path, job, { what: "output", other: "another --output" }));
    return null;
  });
  return { [Symbol.dispose]: () => held.forEach((lock) => void lock.release()) };
}

/**
 * For what reads a run that must not change meanwhile.
 *
 * @throws {RunLockedError} when another process holds the lock at `path`
 */
export function refuseLocked(path: string): void {
  refuseHeld(path, readHolder(path), { job: null, what: "run", other: "another run" });
}

/** Waits until no running process of this machine holds the lock at `path`, but no longer than `ms`. */
export async function untilFree(path: string, ms: number): Promise<void> {
  const end = Date.now() + ms;
  while (isHeldHere(path) && Date.now() < end) await setTimeout(100);
}

function isHeldHere(path: string): boolean {
  return lockHolder(path)?.state === "running";
}

/** Who holds a run's lock, and whether that process runs; unknown: it is of another host. */
export interface LockHolder {
  /** "process 12", with its host where that is another. */
  name: string;
  state: "running" | "gone" | "unknown";
  /** It is the process that asks. */
  isOwn: boolean;
}

/** The holder of the lock at `path`; null where there is no lock, or none that can be read. */
export function lockHolder(path: string): LockHolder | null {
  const holder = readHolder(path);
  if (holder === null) return null;
  const isHere = holder.host === hostname();
  const state = isHere ? (isAlive(holder) ? "running" : "gone") : "unknown";
  return { name: nameOf(holder), state, isOwn: isHere && holder.pid === process.pid };
}

/**
 * Asks the process that holds the lock at `path` to stop, by SIGTERM: the process of this machine that the lock names, and started
 * when it says, no other of the same number.
 *
 * @returns why nobody was asked; null: it was
 */
export function stopHolder(path: string): string | null {
  const holder = readHolder(path);
  if (holder === null) return "nothing runs here: the run has no lock";
  if (holder.host !== hostname()) return `it runs on another machine, ${holder.host}: stop it there`;
  if (!isAlive(holder)) return `${nameOf(holder)}, which ran it, is gone`;
  if (holder.started === null || startOf(holder.pid, holder.thread ?? undefined) === null) {
    return `this system does not say when ${nameOf(holder)} started, so that another of its number cannot be ruled out: kill -TERM ${holder.pid}`;
  }
  try {
    process.kill(holder.pid, "SIGTERM");
    return null;
  } catch (error) {
    return `${nameOf(holder)} belongs to another user (${errorCode(error) ?? "not allowed"})`;
  }
}

function create(path: string, job: StartedJob | null): boolean {
  const { pid } = process;
  const thread = ownThread();
  const holder: Holder = { pid, thread, host: hostname(), started: startOf(pid, thread ?? undefined), job };
  const text = Buffer.from(`${JSON.stringify(holder)}\n`);
  try {
    createFileSync(path, (fd) => writeAllSync(fd, text));
    return true;
  } catch (cause) {
    if (errorCode(cause) === "EEXIST") return false;
    throw fileFailure({ action: "write", path, cause, bytes: text.length });
  }
}

/** Takes over the lock of a process that is gone. One process at a time does: the one whose file lies beside the lock. */
function takeOver(path: string, locked: Locked): string {
  const { job, what } = locked;
  refuseHeld(path, readHolder(path), locked);
  const taking = `${path}.taking`;
  // of one that was killed in the few microseconds that it takes
  if (ageOf(taking) > WRITING_MS) ignoreErrors(() => io.rmSync(taking));
  if (!create(taking, job)) throw new RunLockedError(starting(path, locked));
  try {
    // another may have taken it over until now
    const seen = readHolder(path);
    refuseHeld(path, seen, locked);
    try {
      io.rmSync(path);
    } catch (cause) {
      throw fileFailure({ action: "take over", path, cause });
    }
    if (!create(path, job)) throw new RunLockedError(starting(path, locked));
    const who = seen === null ? "an unknown process" : nameOf(seen);
    return `The ${what} was left locked by ${who}, which is gone; its lock was taken over.`;
  } finally {
    ignoreErrors(() => io.rmSync(taking));
  }
}

const starting = (path: string, { what, other }: Locked): string =>
  `${path}: another process is starting this ${what}. Wait for it, or choose ${other}.`;

/** "process 12", on another host "process 12 on host-a". */
function nameOf({ pid, host }: Holder): string {
  return host === hostname() ? `process ${pid}` : `process ${pid} on ${host}`;
}

/** Whether the lock's process belongs to an earlier start of `job`, which its launcher has ended. */
function isEarlierStart({ job: held }: Holder, job: StartedJob | null): boolean {
  return held !== null && held.id !== null && held.id === job?.id && held.restarts < job.restarts;
}

function refuseHeld(path: string, holder: Holder | null, locked: Locked): void {
  const { job, what, other } = locked;
  if (holder === null) {
    if (ageOf(path) > WRITING_MS) return;
    throw new RunLockedError(starting(path, locked));
  }
  if (holder.host !== hostname()) {
    if (isEarlierStart(holder, job)) return;
    throw new RunLockedError(
      `${path}: the ${what} is being written by ${nameOf(holder)}, which cannot be looked up from here. ` +
        `If that process is gone, delete the file (rm ${shellWord(path)}) and start again.`,
    );
  }
  if (!isAlive(holder)) return;
  throw new RunLockedError(
    `${path}: the ${what} is being written by process ${holder.pid}, which is running. Wait for it or stop it, or choose ${other}.`,
  );
}

function readHolder(path: string): Holder | null {
  try {
    const holder = JSON.parse(readFileBytes(path).toString("utf8")) as Partial<Holder>;
    const { pid, thread, host, started, job } = holder;
    if (!Number.isInteger(pid) || typeof host !== "string") return null;
    return { pid: pid as number, thread: thread ?? null, host, started: started ?? null, job: job ?? null };
  } catch {
    return null;
  }
}

function ageOf(path: string): number {
  try {
    return Date.now() - statSync(path).mtimeMs;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

function isAlive({ pid, thread, started }: Holder): boolean {
  const id = thread ?? undefined;
  return isRunning(pid, id) && (started === null || startOf(pid, id) === started);
}

function ownThread(): number | null {
  try {
    return Number(basename(readlinkSync("/proc/thread-self")));
  } catch {
    return null;
  }
}
