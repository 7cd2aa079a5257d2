/** Votes on their way: kept by the browser until the server has them, so that a crash in between loses nothing. */
import type { SidedVote } from "../../workbench/labelling.ts";

/** A name for a press, which the server takes once. */
export function newKey(): string {
  // randomUUID is for secure contexts alone: a page at http://NAME has none
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) =>
    byte.toString(16).padStart(2, "0"),
  ).join("");
}

/**
 * What the names of somebody's votes begin with: dashboards of one address, one after the other, share what the browser keeps.
 *
 * @param workbench - its id
 */
export function namesOf(workbench: string, person: string): string {
  return `preftune-vote ${workbench} ${encodeURIComponent(person)} `;
}

/** Keeps a vote until {@link clearPending}; each under its key, so that two tabs do not overwrite one another. */
export function keepPending(names: string, vote: SidedVote): void {
  localStorage.setItem(names + vote.key, JSON.stringify(vote));
}

/** Somebody's votes that no page got an answer to. */
export function pendingVotes(names: string): SidedVote[] {
  return Object.keys(localStorage)
    .filter((name) => name.startsWith(names))
    .map((name) => JSON.parse(localStorage.getItem(name) ?? "null") as SidedVote);
}

/** Forgets the vote: the server has it, or refuses it. */
export function clearPending(names: string, { key }: SidedVote): void {
  localStorage.removeItem(names + key);
}
