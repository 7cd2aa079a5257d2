/**
 * What one rank does for all, or one of a host for all of it, since it takes minutes, or writes what the others read: fetching a model, tokenising.
 * The others wait in the store, so no collective is pending and signs of life go on.
 */
import { at } from "../base/at.ts";
import { agreedAsync } from "../base/ranks.ts";
import type { RankGroup } from "./rank-group.ts";

/**
 * What `work` gives on the first rank of this host, once it is done on all hosts; as JSON has it.
 *
 * @throws {RankFailure} on every rank, if it failed on one
 */
export async function oncePerHost<T>(group: RankGroup, work: () => Promise<T>): Promise<T> {
  const given = await doneBy(group, firstsOf(group), work);
  const host = group.hosts.findIndex((ranks) => ranks.includes(group.rank));
  return at(given, host) as T;
}

/**
 * What `work` gives on this rank: done by rank 0 first, then by the first ranks of the other hosts, then by the rest, who find what those
 * have fetched or written.
 *
 * @throws {RankFailure} on every rank, if it failed on rank 0 or the first of a host
 */
export async function firstsFirst<T>(group: RankGroup | null, work: () => Promise<T>): Promise<T> {
  if (group === null) return await work();
  const own: T[] = [];
  const mine = async (): Promise<void> => void own.push(await work());
  const [zero = 0, ...others] = firstsOf(group);
  await doneBy(group, [zero], mine);
  if (others.length > 0) await doneBy(group, others, mine);
  if (own.length === 0) await mine();
  return at(own, 0);
}

/**
 * What `work` gives on rank 0, which does it while the others wait; as JSON has it.
 *
 * @throws {RankFailure} on every rank, if it failed
 */
export async function onceForAll<T>(group: RankGroup | null, work: () => Promise<T>): Promise<T> {
  return group === null ? await work() : (at(await doneBy(group, [0], work), 0) as T);
}

/** The first rank of each host, rank 0 before all. */
function firstsOf({ hosts }: RankGroup): number[] {
  return hosts.map((ranks) => at(ranks, 0));
}

/** What `work` gives on each of `ranks`, in their order; null where this rank is none of them. */
function doneBy<T>(
  group: RankGroup,
  ranks: readonly number[],
  work: () => Promise<T>,
): Promise<(T | null)[]> {
  const { rank, size } = group;
  const gather = <V>(value: V): Promise<V[]> => group.gatherFrom(ranks, value);
  return agreedAsync({ rank, size, gather }, async () => (ranks.includes(rank) ? await work() : null));
}
