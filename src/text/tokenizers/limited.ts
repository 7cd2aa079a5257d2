/** Untrusted regular expressions: which a tokenizer has, and the time they may take. */
import { isRecord } from "../../base/is-record.ts";
import { TimeLimitError, withinComputedTime } from "../../base/time-limit.ts";
import { knownPatterns } from "./known-patterns.ts";
import { UnsupportedPart } from "./tokenizer-parts.ts";

/** Processor time for the patterns on one text: some of it for any text, and more for each character than ten slow machines need. */
const shortestMs = 250;
const msACharacter = 0.0005;

/** Whether a part, or one inside of it, has a regular expression that is not known. */
export function hasUnknownPattern(part: unknown): boolean {
  if (Array.isArray(part)) return part.some(hasUnknownPattern);
  if (!isRecord(part)) return false;
  return Object.entries(part).some(([key, value]) =>
    key === "Regex" ? typeof value === "string" && !knownPatterns.has(value) : hasUnknownPattern(value),
  );
}

/**
 * The result of `work`, the patterns of a tokenizer.json on a text of so many characters.
 *
 * @throws UnsupportedPart when it computes for too long
 */
export function limitedWork<T>(characters: number, work: () => T): T {
  const limitMs = shortestMs + characters * msACharacter;
  try {
    return withinComputedTime(limitMs, work);
  } catch (error) {
    if (!(error instanceof TimeLimitError)) throw error;
  }
  throw new UnsupportedPart(
    `its regular expressions took longer than ${Math.round(limitMs)} ms on a text of ${characters} characters and were stopped`,
  );
}
