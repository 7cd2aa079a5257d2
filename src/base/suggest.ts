/** "Did you mean" for names that were typed wrongly. */
import { distance } from "fastest-levenshtein";

/** A longer name is no typo, and the distance takes time with the product of the lengths. */
const longestName = 100;

/** Single letters that were added, left out or changed; letters in another order count one less, as "did you mean" should prefer them. */
function typingErrors(typed: string, name: string): number {
  const letters = (text: string) => [...text].sort().join("");
  const edits = distance(typed, name);
  return edits > 0 && letters(typed) === letters(name) ? edits - 1 : edits;
}

/**
 * The known name closest to `name`, or null when none is near enough to be a likely typo.
 *
 * @param name - what was typed
 * @param known - the names that would have been accepted
 */
export function closest(name: string, known: Iterable<string>): string | null {
  if (name.length > longestName) return null;
  let best: string | null = null;
  let bestDistance = Math.max(2, Math.floor(name.length / 3)) + 1;
  for (const candidate of known) {
    if (candidate.length > longestName) continue;
    const d = typingErrors(name.toLowerCase(), candidate.toLowerCase());
    if (d < bestDistance) {
      best = candidate;
      bestDistance = d;
    }
  }
  return best;
}

/** ` Did you mean "x"?` or the empty string, to append to a message. */
export function didYouMean(name: string, known: Iterable<string>): string {
  const match = closest(name, known);
  return match === null ? "" : ` Did you mean "${match}"?`;
}
