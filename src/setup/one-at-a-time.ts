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
/** And what keeps others from removing a lock, in ms. */
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
  const until = performance.now() + longest;
  let waited: Owner | null = null;
  while (!taken(lock)) {
    const owner = ownerOf(lock);
    if (owner !== null && waited === null)
      say(`waiting for process ${owner.pid} on ${owner.host}, which sets up (lock: ${lock})`);
    waited ??= owner;
    if (owner !== null && (isGone(owner) || performance.now() > until)) takeAway(lock, owner);
    await sleep(100);
  }
  try {
    return await body();
  } finally {
    ignoreErrors(() => io.rmSync(lock));
  }
}

/**
 * Removes the lock of `owner`, if it is still there. One process does so at a time: another that has read the same owner would remove
 * the lock of whoever has taken it since.
 */
function takeAway(lock: string, owner: Owner): void {
  const guard = `${lock}.removing`;
  if (!taken(guard)) {
    // it is there for no longer than the lines below take, unless they were interrupted
    if (Date.now() - (statsOf(guard)?.mtimeMs ?? Date.now()) > guardMs) ignoreErrors(() => io.rmSync(guard));
    return;
  }
  try {
    if (JSON.stringify(ownerOf(lock)) === JSON.stringify(owner)) ignoreErrors(() => io.rmSync(lock));
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

function isGone({ host, pid, started }: Owner): boolean {
  return host === hostname() && (!isRunning(pid) || startOf(pid) !== started);
}
