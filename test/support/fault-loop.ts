/** Loops in which each system call of a command fails in turn, as SQLite's tests do. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { FileError } from "../../src/base/errors.ts";
import type { FileIo } from "../../src/base/file-io.ts";
import { isNightly } from "./campaign.ts";
import { armFault, type Call, changingCalls, type Fault } from "./faults.ts";
import { filesOf } from "./runs.ts";

/** A command whose calls are to fail. */
export interface FaultyCommand {
  name: string;
  /** Lays down in `dir`, which is there, what a former run of the command left; default: nothing. */
  before?: (dir: string) => void | Promise<void>;
  /** Does its work in `dir`. */
  run: (dir: string) => Promise<unknown>;
  /** Files that it writes, relative to `dir`; a directory stands for all below it. */
  outputs: readonly string[];
  /** What the result of `run` says of failures that it did not throw, a text each; default: nothing. */
  reports?: (result: unknown) => readonly string[];
  /** What of a file counts, where not every byte does; default: all. */
  essence?: (text: string, dir: string) => string;
}

/** Ways in which a call can fail. */
export const codes: Readonly<Record<keyof FileIo, readonly Fault["code"][]>> = {
  openSync: ["ENOSPC", "EMFILE", "EROFS", "EIO", "EDQUOT"],
  writeSync: ["ENOSPC", "EDQUOT", "EIO"],
  fsyncSync: ["EIO", "ENOSPC", "EDQUOT"],
  closeSync: ["EIO", "EDQUOT"],
  ftruncateSync: ["EIO"],
  renameSync: ["EIO", "EROFS", "ENOSPC"],
  mkdirSync: ["ENOSPC", "EDQUOT", "EROFS"],
  rmSync: ["EIO", "EROFS"],
  symlinkSync: ["ENOSPC", "EROFS"],
  linkSync: ["ENOSPC", "EROFS"],
  utimesSync: ["EROFS"],
};

/** What a loop came to. */
export interface LoopTally {
  /** Calls that the command makes. */
  calls: Call[];
  /** Those that were made to fail. */
  failed: number;
}

/** Content of the outputs, by path; directories give that of every file. */
function outcomeOf(
  { outputs, essence = (text) => text }: FaultyCommand,
  dir: string,
): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of outputs) {
    const path = join(dir, name);
    if (!existsSync(path)) continue;
    const below = statIsDirectory(path) ? Object.keys(filesOf(path)).map((each) => join(name, each)) : [name];
    for (const each of below) {
      if (!statIsDirectory(join(dir, each)))
        found[each] = essence(readFileSync(join(dir, each), "latin1"), dir);
    }
  }
  return found;
}

function statIsDirectory(path: string): boolean {
  try {
    readFileSync(path);
    return false;
  } catch {
    return true;
  }
}

/**
 * A failure that names a path of the run and what to do, with the exit status for files.
 *
 * @param call - the call that failed: where there is no room for what is written, its bytes are named
 */
export function assertTells(error: unknown, dir: string, call: Call["name"] | undefined): void {
  assert.ok(error instanceof FileError, `expected a FileError, got ${(error as Error)?.stack ?? error}`);
  assert.equal(error.exitCode, 5);
  assertSays(error.message, dir, call);
}

function assertSays(message: string, dir: string, call: Call["name"] | undefined): void {
  assert.ok(message.includes(dir), `no path of the run in: ${message}`);
  // what the entry of a directory needs is not known, nor how much of what was written before a sync found no room
  if (call === "writeSync" && /\((ENOSPC|EDQUOT)\)/.test(message))
    assert.match(message, /\d+ bytes( \([^)]*\))? are needed/);
  assert.match(
    message,
    /Free space under .* or choose another (place|--output)|Check the path and the disk|Choose a path this user may use|Raise the limit|ask(ed)? for again/,
  );
}

/**
 * Makes every `stride`-th changing call of the command fail, each in a separate directory. Each time the
 * failure is reported, every file is either as before or complete, and the command run again leaves what it leaves when
 * nothing fails.
 *
 * @param first - the first call that fails, from 1: files that share the calls each begin at another
 */
export async function failEachCall(
  command: FaultyCommand,
  place: string,
  stride: number,
  first: number = 1,
): Promise<LoopTally> {
  const fresh = async (name: string): Promise<string> => {
    const dir = join(place, `${command.name}-${name}`);
    mkdirSync(dir);
    await command.before?.(dir);
    return dir;
  };
  const old = outcomeOf(command, await fresh("old"));
  const good = await fresh("first");
  await command.run(good);
  const whole = outcomeOf(command, good);
  const counted = await fresh("counted");
  using counting = armFault({ code: "EIO", at: Number.POSITIVE_INFINITY, names: changingCalls });
  await command.run(counted);
  counting[Symbol.dispose]();
  assert.deepEqual(outcomeOf(command, counted), whole, "two runs differ");
  const { calls } = counting;
  let failed = 0;
  for (let at = first; at <= calls.length; at += stride) {
    const dir = await fresh(`call-${at}`);
    const { name, path } = calls[at - 1] as Call;
    const ways = codes[name];
    const code = ways[at % ways.length] as Fault["code"];
    const where = `${command.name}: call ${at} of ${calls.length} (${name} ${path?.replace(counted, "")}) fails with ${code}`;
    try {
      assert.ok(await failWith(command, dir, { fault: { code, at, names: changingCalls }, old, whole }));
    } catch (error) {
      throw new Error(`${where}: ${(error as Error).message}`, { cause: error });
    }
    failed += 1;
    rmSync(dir, { recursive: true, force: true });
    if (isNightly && failed % 50 === 0) console.log(`${command.name}: ${at} of ${calls.length} calls`);
  }
  await fullFrom(command, fresh, { old, whole, stride, first });
  return { calls, failed };
}

/** The same on a disk that is full from one write on and stays so until the command is done again. */
async function fullFrom(
  command: FaultyCommand,
  fresh: (name: string) => Promise<string>,
  { old, whole, stride, first }: { old: Outcome; whole: Outcome; stride: number; first: number },
): Promise<void> {
  const names = ["writeSync", "fsyncSync", "mkdirSync"] as const;
  for (let at = 3 * first - 2; ; at += 3 * stride) {
    const dir = await fresh(`full-${at}`);
    const fault: Fault = { code: "ENOSPC", at, names, stays: true };
    try {
      if (!(await failWith(command, dir, { fault, old, whole }))) return;
    } catch (error) {
      throw new Error(`${command.name}: disk full from call ${at} on: ${(error as Error).message}`, {
        cause: error,
      });
    }
    rmSync(dir, { recursive: true, force: true });
  }
}

type Outcome = Record<string, string>;

/** Runs the command with a fault and again without; false when the fault met no call. */
async function failWith(
  command: FaultyCommand,
  dir: string,
  { fault, old, whole }: { fault: Fault; old: Outcome; whole: Outcome },
): Promise<boolean> {
  const { error, result, failed } = await runFailing(command, dir, fault);
  if (failed.length === 0) return false;
  if (error !== null) assertTells(error, dir, failed[0]?.name);
  const left = outcomeOf(command, dir);
  const reports = error === null ? (command.reports?.(result) ?? []) : [];
  for (const each of reports) assertSays(each, dir, failed[0]?.name);
  const isReported = reports.length > 0;
  if (error === null && !isReported) assert.deepEqual(left, whole, "a failure that is not reported");
  for (const [name, content] of isReported ? [] : Object.entries(left)) {
    assert.ok(
      content === old[name] || content === whole[name],
      `${name} is neither as before nor as it should be`,
    );
  }
  await command.run(dir);
  assert.deepEqual(outcomeOf(command, dir), whole, "done again");
  const hidden = Object.keys(filesOf(dir)).filter((name) => /(^|\/)\.|\.(lock|part|partial)$/.test(name));
  assert.deepEqual(hidden, [], "left over");
  return true;
}

async function runFailing(
  command: FaultyCommand,
  dir: string,
  fault: Fault,
): Promise<{ error: unknown; result: unknown; failed: Call[] }> {
  using faults = armFault(fault);
  try {
    return { error: null, result: await command.run(dir), failed: faults.failed };
  } catch (error) {
    return { error, result: null, failed: faults.failed };
  }
}
