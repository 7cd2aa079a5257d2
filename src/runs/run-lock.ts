/** One trainer per run: a lock file with the process that writes the run. */
import { statSync } from "node:fs";
import { hostname } from "node:os";
import { dirname } from "node:path";
import { setTimeout } from "node:timers/promises";
import { TrainingError } from "../base/errors.ts";
import { errorCode, fileWork, ignoreErrors } from "../base/file-io.ts";
import { makeDirectory } from "../base/files.ts";
import {
  type Holder,
  type HolderState,
  heldPath,
  holderName,
  holderState,
  isHere,
  LockFile,
  readHolder,
  removeLeft,
} from "../base/lock-file.ts";
import { startOf } from "../base/process-state.ts";
import { alone, onFirst, type Together } from "../base/ranks.ts";
import { shellWord } from "../base/shell-word.ts";

/** Who holds a run's lock. */
interface RunHolder extends Holder {
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
  readonly #file: LockFile;

  /**
   * Takes the lock at `path`. A lock of a process that is gone is taken over; where that cannot be looked up, one of an earlier start
   * of the same job: its launcher has ended that start, and a rank that it could not reach ends by itself, as its others are gone, and writes
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
    const file = LockFile.create(path, { job });
    const taken = file === null ? takeOver(path, { job, ...on }) : { file, note: null };
    this.#file = taken.file;
    this.note = taken.note;
  }

  /**
   * Gives the lock back. It is tried twice: one that stays holds the run until this process ends, which for a program that
   * does other work may be long.
   */
  release(): void {
    for (let attempt = 1; attempt <= 2; attempt++) if (this.#file.remove()) return;
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
  refuseHeld(path, runHolder(path), { job: null, what: "run", other: "another run" });
}

/** Waits until no running process of this machine holds the lock at `path`, but no longer than `ms`. */
export async function untilFree(path: string, ms: number): Promise<void> {
  const end = Date.now() + ms;
  while (isHeldHere(path) && Date.now() < end) await setTimeout(100);
}

function isHeldHere(path: string): boolean {
  return lockHolder(path)?.state === "running";
}

/** Who holds a run's lock, and whether that process runs; unknown: it cannot be looked up from here. */
export interface LockHolder {
  /** "process 12", with its host or PID namespace where that is another. */
  name: string;
  state: HolderState;
  /** It is the process that asks. */
  isOwn: boolean;
}

/** The holder of the lock at `path`; null where there is no lock, or none that can be read. */
export function lockHolder(path: string): LockHolder | null {
  const holder = readHolder(path);
  if (holder === null) return null;
  const isOwn = isHere(holder) && holder.pid === process.pid;
  return { name: holderName(holder), state: holderState(holder, path), isOwn };
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
  const name = holderName(holder);
  if (holder.host !== hostname()) return `it runs on another machine, ${holder.host}: stop it there`;
  if (holderState(holder, path) === "gone") return `${name}, which ran it, is gone`;
  if (!isHere(holder))
    return `it runs in another PID namespace of ${holder.host}, such as that of another container: stop it there`;
  if (holder.started === null || startOf(holder.pid, holder.thread ?? undefined) === null) {
    return `this system does not say when ${name} started, so that another of its number cannot be ruled out: kill -TERM ${holder.pid}`;
  }
  try {
    process.kill(holder.pid, "SIGTERM");
    return null;
  } catch (error) {
    return `${name} belongs to another user (${errorCode(error) ?? "not allowed"})`;
  }
}

/** Takes over the lock of a process that is gone. One process at a time does: the one whose file lies beside the lock. */
function takeOver(path: string, locked: Locked): { file: LockFile; note: string } {
  const { job, what } = locked;
  refuseHeld(path, runHolder(path), locked);
  const taking = `${path}.taking`;
  // of one that was killed in the few microseconds that it takes
  if (ageOf(taking) > WRITING_MS) ignoreErrors(() => removeLeft(taking));
  const turn = LockFile.create(taking);
  if (turn === null) throw new RunLockedError(starting(path, locked));
  try {
    // another may have taken it over until now
    const seen = runHolder(path);
    refuseHeld(path, seen, locked);
    fileWork({ action: "take over", path }, () => removeLeft(path));
    const file = LockFile.create(path, { job });
    if (file === null) throw new RunLockedError(starting(path, locked));
    const who = seen === null ? "an unknown process" : holderName(seen);
    return { file, note: `The ${what} was left locked by ${who}, which is gone; its lock was taken over.` };
  } finally {
    turn.remove();
  }
}

const starting = (path: string, { what, other }: Locked): string =>
  `${path}: another process is starting this ${what}. Wait for it, or choose ${other}.`;

/** Whether the lock's process belongs to an earlier start of `job`, which its launcher has ended. */
function isEarlierStart({ job: held }: RunHolder, job: StartedJob | null): boolean {
  return held !== null && held.id !== null && held.id === job?.id && held.restarts < job.restarts;
}

function refuseHeld(path: string, holder: RunHolder | null, locked: Locked): void {
  const { job, what, other } = locked;
  if (holder === null) {
    if (ageOf(path) > WRITING_MS) return;
    throw new RunLockedError(starting(path, locked));
  }
  const state = holderState(holder, path);
  if (state === "gone" || (!isHere(holder) && isEarlierStart(holder, job))) return;
  const who = `${path}: the ${what} is being written by ${holderName(holder)}, which`;
  if (state === "running")
    throw new RunLockedError(`${who} is running. Wait for it or stop it, or choose ${other}.`);
  const files = [path, heldPath(holder, path)].filter((file) => file !== null);
  throw new RunLockedError(
    `${who} cannot be looked up from here. ` +
      `If that process is gone, delete the file (rm -f ${files.map(shellWord).join(" ")}) and start again.`,
  );
}

function runHolder(path: string): RunHolder | null {
  const holder = readHolder(path);
  return holder === null ? null : { ...holder, job: (holder["job"] ?? null) as StartedJob | null };
}

function ageOf(path: string): number {
  try {
    return Date.now() - statSync(path).mtimeMs;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
