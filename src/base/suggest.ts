/** "Did you mean" for names that were typed wrongly. */
import { distance } from "fastest-levenshtein";

/**
 * The known name closest to `name`, or null when none is near enough to be a likely slip of the pen.
 *
 * @param name - what was typed
 * @param known - the names that would have been accepted
 */
export function closest(name: string, known: Iterable<string>): string | null {
  let best: string | null = null;
  let bestDistance = Math.max(2, Math.floor(name.length / 3)) + 1;
  for (const candidate of known) {
    const d = distance(name.toLowerCase(), candidate.toLowerCase());
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
