/** What all ranks of a run must have alike is compared before it is used. */
import { ConfigError } from "../base/errors.ts";
import type { RankGroup } from "./rank-group.ts";

/** Something that is compared: its value on this rank, short or a digest, and what to do where it differs. */
export interface Fact {
  value: string;
  cure: string;
}

/**
 * Compares what the ranks have.
 *
 * @param facts - by name; a name that a rank lacks is a difference too
 * @throws {ConfigError} on all ranks the same: a sentence for each difference, which names the ranks and their hosts
 */
export function agree(group: RankGroup | null, facts: Readonly<Record<string, Fact>>): void {
  if (group === null) return;
  const values = Object.fromEntries(Object.entries(facts).map(([name, { value }]) => [name, value]));
  const all = group.gather({ host: group.host, values });
  const differing = differencesOf(all);
  if (differing.length === 0) return;
  // of a name that this rank lacks another knows the cure
  const known = group.gather(differing.map(({ name }) => facts[name]?.cure ?? null));
  const cures = differing.map((_, i) => known.map((ofRank) => ofRank[i]).find((cure) => cure !== null) ?? "");
  throw new DisagreementError(
    differing.map(({ text }) => text),
    [...new Set(cures)].join(" "),
  );
}

/** Ranks of a run have something differently. The message is the same on all of them. */
export class DisagreementError extends ConfigError {
  constructor(differences: readonly string[], cure: string) {
    super(`the ranks of this run differ:\n${differences.map((text) => `  ${text}\n`).join("")}${cure}`);
  }
}

/** What one rank has. */
interface Had {
  host: string;
  values: Readonly<Record<string, string>>;
}

/** Characters of a value that a message has. */
const most = 120;

/** What ranks have different values of, each in a sentence. */
function differencesOf(all: readonly Had[]): { name: string; text: string }[] {
  const names = new Set(all.flatMap(({ values }) => Object.keys(values)));
  return [...names].flatMap((name) => {
    const byValue = Map.groupBy(all.keys(), (rank) => all[rank]?.values[name] ?? "nothing");
    if (byValue.size === 1) return [];
    const parts = [...byValue].map(([value, ranks]) => `${shortened(value)} on ${ranksInWords(ranks, all)}`);
    return [{ name, text: `${name}: ${parts.join(", ")}` }];
  });
}

function shortened(value: string): string {
  return value.length <= most ? value : `${value.slice(0, most)}…`;
}

/** "rank 2 (host b)", "ranks 0, 1 and 3 (hosts a and b)". */
export function ranksInWords(ranks: readonly number[], all: readonly Pick<Had, "host">[]): string {
  const hosts = [...new Set(ranks.map((rank) => all[rank]?.host ?? "?"))];
  const many = (one: string, items: readonly unknown[]): string => (items.length === 1 ? one : `${one}s`);
  return `${many("rank", ranks)} ${listed(ranks)} (${many("host", hosts)} ${listed(hosts)})`;
}

/** At most this many are listed one by one. */
const listedOnes = 8;

function listed(items: readonly (number | string)[]): string {
  const shown = items.slice(0, listedOnes).map(String);
  if (items.length > listedOnes) return `${shown.join(", ")} and ${items.length - listedOnes} more`;
  return shown.length === 1 ? (shown[0] ?? "") : `${shown.slice(0, -1).join(", ")} and ${shown.at(-1)}`;
}
