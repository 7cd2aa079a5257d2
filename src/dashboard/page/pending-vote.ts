/** Votes on their way: kept by the browser until the server has them, so that a crash in between loses nothing. */
import type { SidedVote } from "../../workbench/labelling.ts";

const prefix = "preftune-vote ";

/** A name for a press, which the server takes once. */
export function newKey(): string {
  return crypto.randomUUID();
}

/** Keeps a vote until {@link clearPending}; each under its key, so that two tabs do not overwrite one another. */
export function keepPending(vote: SidedVote): void {
  localStorage.setItem(prefix + vote.key, JSON.stringify(vote));
}

/** The votes that no page got an answer to. */
export function pendingVotes(): SidedVote[] {
  return Object.keys(localStorage)
    .filter((name) => name.startsWith(prefix))
    .map((name) => JSON.parse(localStorage.getItem(name) ?? "null") as SidedVote);
}

/** Forgets the vote: the server has it, or refuses it. */
export function clearPending({ key }: SidedVote): void {
  localStorage.removeItem(prefix + key);
}
