/** Verdicts in the answers of judges. An answer without one, or with several that differ, has none: nothing is guessed. */
import { FormatError, messageOf } from "../base/errors.ts";

/** Who is better in a pair: A by far, A, neither, B, B by far. */
export type PairVerdict = 2 | 1 | 0 | -1 | -2;

const labels: Readonly<Record<string, PairVerdict>> = {
  "A>>B": 2,
  "A>B": 1,
  "A=B": 0,
  "B>A": -1,
  "B>>A": -2,
  // The same said the other way round.
  "B<<A": 2,
  "B<A": 1,
  "B=A": 0,
  "A<B": -1,
  "A<<B": -2,
};
const letters: Readonly<Record<string, PairVerdict>> = { A: 1, B: -1, C: 0 };

const ratingPatterns = [/\[\[(\d+(?:\.\d+)?)\]\]/g, /\[(\d+(?:\.\d+)?)\]/g];
const letterPatterns = [/\[\[([ABC])\]\]/g];

/** A rating from 1 to 10 as `[[7]]`; where there is none so, as `[7]`. */
export function readRating(answer: string): number | null {
  const found = only(answer, ratingPatterns);
  const rating = Number(found ?? Number.NaN);
  return rating >= 1 && rating <= 10 ? rating : null;
}

/** `[[A]]`, `[[B]]` or `[[C]]` for a tie, as MT-Bench's judge prompts ask for. */
export function readLetter(answer: string): PairVerdict | null {
  return letters[only(answer, letterPatterns) ?? ""] ?? null;
}

/**
 * A reader of the five verdicts `A>>B` … `B>>A`.
 *
 * @param patterns - regular expressions with one group, tried in this order
 * @throws {FormatError} if one is none
 */
export function verdictReader(
  patterns: readonly string[],
  where: string,
): (answer: string) => PairVerdict | null {
  const compiled = patterns.map((source) => {
    try {
      return new RegExp(source, "g");
    } catch (cause) {
      throw new FormatError(`${where}: expected a regular expression: ${messageOf(cause)}.`, { cause });
    }
  });
  return (answer) => labels[only(answer, compiled) ?? ""] ?? null;
}

/** What the first pattern that matches at all found, if it found the same everywhere. */
function only(answer: string, patterns: readonly RegExp[]): string | null {
  for (const pattern of patterns) {
    const found = new Set([...answer.matchAll(pattern)].map(([, group = ""]) => group));
    if (found.size > 0) return found.size === 1 ? ([...found][0] ?? null) : null;
  }
  return null;
}
