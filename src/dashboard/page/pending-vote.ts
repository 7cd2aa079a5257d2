/** A vote on its way: kept by the browser until the server has it, so that a crash in between loses nothing. */
import type { SidedVote } from "../../workbench/labelling.ts";

const name = "preftune-vote";

/** A name for a press, which the server takes once. */
export function newKey(): string {
  return crypto.randomUUID();
}

/** Keeps a vote until {@link clearPending}. */
export function keepPending(vote: SidedVote): void {
  localStorage.setItem(name, JSON.stringify(vote));
}

/** The vote that a page before this one did not get an answer to; null: there is none. */
export function pendingVote(): SidedVote | null {
  const text = localStorage.getItem(name);
  return text === null ? null : (JSON.parse(text) as SidedVote);
}

/** Forgets the vote: the server has it, or refuses it. */
export function clearPending(): void {
  localStorage.removeItem(name);
}
