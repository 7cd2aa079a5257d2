/**
 * What the processes of a run do together without passing tensors: each does its part, and if one fails, all fail with the
 * same sentence. `RankGroup` is such a group; a process without others is {@link alone}.
 */
import { hostname } from "node:os";
import { at } from "./at.ts";
import { LostRankError, messageOf, PreftuneError, RankFailure, TrainingError } from "./errors.ts";

/** This process among those of a run, where what each gives may be waited for. */
export interface Gathering {
  readonly rank: number;
  readonly size: number;
  /** What each rank gives, in order of the ranks: something small, as JSON has it. Every rank must call it. */
  gather<T>(value: T): T[] | Promise<T[]>;
}

/** This process among those of a run. */
export interface Together extends Gathering {
  gather<T>(value: T): T[];
}

/**
 * Training cannot continue, as every process of a run on several finds by itself, from numbers that all have alike: none has to tell
 * the others, which may be a moment behind.
 */
export class GaveUpError extends TrainingError {}

/** A process without others. */
export const alone: Together = { rank: 0, size: 1, gather: (value) => [value] };

/** What a rank did: a value, or why it could not. */
type Outcome<T> =
  | { value: T }
  | { failure: { message: string; exitCode: number; host: string; rank: number } };

/**
 * Does `work` on each rank and waits for all.
 *
 * @returns what it gave, in order of the ranks; as JSON has it
 * @throws {RankFailure} on every rank, if it failed on one. A process without others throws the error itself
 */
export function agreed<T>(ranks: Together, work: () => T): T[] {
  let outcome: Outcome<T>;
  let own: unknown = null;
  try {
    outcome = { value: work() };
  } catch (error) {
    own = error;
    outcome = failed(ranks, error);
  }
  return valuesOf(ranks.size === 1 ? [outcome] : ranks.gather(outcome), ranks, own);
}

/** {@link agreed} of work that takes its time; what it gave on the ranks whose outcomes `ranks` gathers. */
export async function agreedAsync<T>(ranks: Gathering, work: () => Promise<T>): Promise<T[]> {
  let outcome: Outcome<T>;
  let own: unknown = null;
  try {
    outcome = { value: await work() };
  } catch (error) {
    own = error;
    outcome = failed(ranks, error);
  }
  return valuesOf(ranks.size === 1 ? [outcome] : await ranks.gather(outcome), ranks, own);
}

/** What `work` gives on this rank, once it is done on all. @throws {RankFailure} on every rank, if it failed on one */
export function onAll<T>(ranks: Together, work: () => T): T {
  const own: T[] = [];
  agreed(ranks, () => {
    own.push(work());
  });
  return at(own, 0);
}

/** Does `work` on rank 0 alone; every rank gets what it gave. @throws {RankFailure} on every rank, if it failed */
export function onFirst<T>(ranks: Together, work: () => T): T {
  const [value] = agreed(ranks, () => (ranks.rank === 0 ? work() : null));
  return value as T;
}

/** @throws the error itself where nobody waits for this rank's outcome, or all have it already */
function failed(ranks: Gathering, error: unknown): Outcome<never> {
  if (ranks.size === 1 || error instanceof LostRankError || error instanceof RankFailure) throw error;
  const isKnown = error instanceof PreftuneError;
  // an error that is a bug comes with its stack, as it does in one process
  const message = isKnown ? error.message : (error instanceof Error && error.stack) || messageOf(error);
  return { failure: { message, exitCode: isKnown ? error.exitCode : 1, host: hostname(), rank: ranks.rank } };
}

/** @param own - what this rank failed with */
function valuesOf<T>(outcomes: readonly Outcome<T>[], ranks: Gathering, own: unknown): T[] {
  return outcomes.map((each) => {
    if (!("failure" in each)) return each.value;
    const { message, exitCode, host, rank } = each.failure;
    const options = rank === ranks.rank ? { cause: own } : {};
    throw new RankFailure(`rank ${rank} (host ${host}): ${message}`, { rank, exitCode, ...options });
  });
}
