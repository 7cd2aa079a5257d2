/** Which ranks share a model, and which hold the same parts of it. */
import { at } from "../base/at.ts";
import { ConfigError } from "../base/errors.ts";
import type { RunConfig } from "../config/run-config.ts";
import type { RankGroup } from "../distributed/rank-group.ts";

/** How the ranks of a run hold the model. */
export interface RankLayout {
  /** The ranks among which the model is divided; null: each has all of it. */
  sharers: RankGroup | null;
  /** The ranks that hold the same part as this one; null where no other does. */
  replicas: RankGroup | null;
  /** Ranks of the run that together hold the model once. */
  once: readonly number[];
}

/**
 * The layout that `shard` names. All ranks call it alike; `memory` ends the groups that it makes.
 *
 * @throws {ConfigError} if hosts are to hold the model and have unequally many ranks
 */
export function rankLayout(
  group: RankGroup,
  shard: Exclude<RunConfig["shard"], "auto">,
  memory: DisposableStack,
): RankLayout {
  if (shard === "none") return { sharers: null, replicas: group, once: [0] };
  if (shard === "all" || group.hosts.length === 1) {
    return { sharers: group, replicas: null, once: Array.from({ length: group.size }, (_, rank) => rank) };
  }
  const { hosts } = group;
  const first = at(hosts, 0);
  const odd = hosts.find(({ length }) => length !== first.length);
  if (odd !== undefined) {
    throw new ConfigError(
      `shard: node needs equally many ranks on each host, and ranks ${first.join(", ")} are on one, ranks ${odd.join(", ")} on another. ` +
        "Start as many on each, or take shard: all.",
    );
  }
  const own = hosts.find((ranks) => ranks.includes(group.rank)) ?? first;
  const place = own.indexOf(group.rank);
  const across = hosts.map((ranks) => at(ranks, place));
  return {
    sharers: own.length > 1 ? memory.use(group.split("node", own)) : null,
    replicas: memory.use(group.split("replicas", across)),
    once: first,
  };
}
