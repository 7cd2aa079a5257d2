/** Votes on their way: kept by the browser until the server has them, so that a crash in between loses nothing. */
import type { SidedVote } from "../../workbench/labelling.ts";

/** Who votes where: dashboards of one address, one after the other, share what the browser keeps. */
interface Owner {
  workbench: string;
  person: string;
}

/** A name for a press, which the server takes once. */
export function newKey(): string {
  return crypto.randomUUID();
}

/** Keeps a vote until {@link clearPending}; each under its key, so that two tabs do not overwrite one another. */
export function keepPending(owner: Owner, vote: SidedVote): void {
  localStorage.setItem(prefixOf(owner) + vote.key, JSON.stringify(vote));
}

/** The owner's votes that no page got an answer to. */
export function pendingVotes(owner: Owner): SidedVote[] {
  return Object.keys(localStorage)
    .filter((name) => name.startsWith(prefixOf(owner)))
    .map((name) => JSON.parse(localStorage.getItem(name) ?? "null") as SidedVote);
}

/** Forgets the vote: the server has it, or refuses it. */
export function clearPending(owner: Owner, { key }: SidedVote): void {
  localStorage.removeItem(prefixOf(owner) + key);
}

function prefixOf({ workbench, person }: Owner): string {
  return `preftune-vote ${workbench} ${encodeURIComponent(person)} `;
}
