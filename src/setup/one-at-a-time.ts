/** Set-up is done by one process at a time: ranks that start together on a fresh host wait for the first. */
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { createFileSync, errorCode, fileFailure, ignoreErrors, io, writeAllSync } from "../base/file-io.ts";
import { readFileBytes, statsOf } from "../base/open-file.ts";
import { isRunning, startOf } from "../base/process-state.ts";

/** Who holds the lock. */
interface Owner {
  host: string;
  pid: number;
  started: string | null;
}

/** A lock of another host, whose processes are not seen from here, is good for this long, in ms. */
const longest = 3_600_000;
/** And what keeps others from removing a lock, and a lock without its owner, in ms. */
const guardMs = 60_000;

/**
 * What `body` gives, while no other process is in a body of the same lock. A lock whose owner is gone is taken over.
 *
 * @param say - is given a line when there is somebody to wait for
 */
export async function oneAtATime<T>(
  lock: string,
  say: (line: string) => void,
  body: () => Promise<T>,
): Promise<T> {
  let waited: Owner | null = null;
  while (!taken(lock)) {
    const owner = ownerOf(lock);
    if (owner !== null && waited === null)
      say(`waiting for process ${owner.pid} on ${owner.host}, which sets up (lock: ${lock})`);
    waited ??= owner;
    if (isLeft(lock)) takeAway(lock);
    await sleep(100);
  }
  try {
    return await body();
  } finally {
    ignoreErrors(() => io.rmSync(lock));
  }
}

/** Whether nobody holds the lock any more: its owner is gone, or it is too old for one that is not seen from here or was not written. */
function isLeft(lock: string): boolean {
  const owner = ownerOf(lock);
  if (owner === null) return ageOf(lock) > guardMs;
  return owner.host === hostname() ? isGone(owner) : ageOf(lock) > longest;
}

/** In ms; 0 where it is not there. */
function ageOf(path: string): number {
  return Date.now() - (statsOf(path)?.mtimeMs ?? Date.now());
}

/**
 * Removes a lock that was left. One process does so at a time: another that has seen the same lock would remove that of whoever has
 * taken it since.
 */
function takeAway(lock: string): void {
  const guard = `${lock}.removing`;
  if (!taken(guard)) {
    // it is there for no longer than the lines below take, unless they were interrupted
    if (ageOf(guard) > guardMs) ignoreErrors(() => io.rmSync(guard));
    return;
  }
  try {
    if (isLeft(lock)) ignoreErrors(() => io.rmSync(lock));
  } finally {
    ignoreErrors(() => io.rmSync(guard));
  }
}

function taken(lock: string): boolean {
  const { pid } = process;
  const owner: Owner = { host: hostname(), pid, started: startOf(pid) };
  try {
    createFileSync(lock, (fd) => writeAllSync(fd, Buffer.from(JSON.stringify(owner))), false);
    return true;
  } catch (error) {
    if (errorCode(error) === "EEXIST") return false;
    throw fileFailure({ action: "write", path: lock, cause: error });
  }
}

/** Null while the file is being written, or gone. */
function ownerOf(lock: string): Owner | null {
  try {
    return JSON.parse(readFileBytes(lock).toString("utf8")) as Owner;
  } catch {
    return null;
  }
}

function isGone({ pid, started }: Owner): boolean {
  return !isRunning(pid) || startOf(pid) !== started;
}
