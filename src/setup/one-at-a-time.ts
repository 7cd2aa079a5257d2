/** Set-up is done by one process at a time: ranks that start together on a fresh host wait for the first. */
import { setTimeout as sleep } from "node:timers/promises";
import { ignoreErrors } from "../base/file-io.ts";
import { type Holder, holderState, LockFile, readHolder, removeLeft } from "../base/lock-file.ts";
import { statsOf } from "../base/open-file.ts";

/** A lock whose owner cannot be looked up, such as one of another host, is good for this long, in ms. */
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
  let waited: Holder | null = null;
  let own = take(lock);
  for (; own === null; own = take(lock)) {
    const owner = readHolder(lock);
    if (owner !== null && waited === null)
      say(`waiting for process ${owner.pid} on ${owner.host}, which sets up (lock: ${lock})`);
    waited ??= owner;
    if (isLeft(lock)) takeAway(lock);
    await sleep(100);
  }
  try {
    return await body();
  } finally {
    own.remove();
  }
}

const take = (lock: string): LockFile | null => LockFile.create(lock, {}, { isSynced: false });

/** Whether nobody holds the lock any more: its owner is gone, or it is too old for one that cannot be looked up or was not written. */
function isLeft(lock: string): boolean {
  const owner = readHolder(lock);
  if (owner === null) return ageOf(lock) > guardMs;
  const state = holderState(owner, lock);
  return state === "gone" || (state === "unknown" && ageOf(lock) > longest);
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
  const own = take(guard);
  if (own === null) {
    // it is there for no longer than the lines below take, unless they were interrupted
    if (ageOf(guard) > guardMs) ignoreErrors(() => removeLeft(guard));
    return;
  }
  try {
    if (isLeft(lock)) ignoreErrors(() => removeLeft(lock));
  } finally {
    own.remove();
  }
}
