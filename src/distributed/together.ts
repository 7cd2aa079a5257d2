/** What ends all ranks: an error of one outside of what they do in common (`base/ranks.ts` has that), a signal before the first step. */
import { setImmediate } from "node:timers/promises";
import { LostRankError, messageOf, PreftuneError, RankFailure } from "../base/errors.ts";
import { GaveUpError } from "../base/ranks.ts";
import { DisagreementError, ranksInWords } from "./agree.ts";
import type { RankGroup } from "./rank-group.ts";
import { StoppedEarlyError } from "./stopped-early.ts";

/** What `work` gives. An error that it throws is told to the other ranks, which end with it in what they do next in common. */
export async function failingTogether<T>(group: RankGroup | null, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw toldToAll(group, error);
  }
}

/** Whether the others have the error, too, or come to it by themselves. */
function isShared(error: unknown): boolean {
  const kinds = [GaveUpError, LostRankError, RankFailure, DisagreementError, StoppedEarlyError];
  return kinds.some((kind) => error instanceof kind);
}

/** Errors that the other ranks have been told of. */
const told = new WeakSet<object>();

/** The error that this rank ends with, once the other ranks know of it: `error` itself, its message beginning with the rank. */
export function toldToAll(group: RankGroup | null, error: unknown): unknown {
  if (group === null || isShared(error)) return error;
  if (typeof error === "object" && error !== null) {
    if (told.has(error)) return error;
    told.add(error);
  }
  group.fail(error);
  if (error instanceof PreftuneError) error.message = `${group.name}: ${messageOf(error)}`;
  return error;
}

/**
 * Lets a signal be heard, between the parts of what comes before the first step.
 *
 * @throws {StoppedEarlyError} on all ranks, if one was asked to stop
 */
export async function stopTogether(group: RankGroup | null, signal: AbortSignal | undefined): Promise<void> {
  if (group === null) return;
  // a signal is heard once the event loop has turned
  await setImmediate();
  const all = group.gather({ host: group.host, isStopped: signal?.aborted === true });
  const stopped = [...all.keys()].filter((rank) => all[rank]?.isStopped === true);
  if (stopped.length > 0) throw new StoppedEarlyError(ranksInWords(stopped, all));
}
