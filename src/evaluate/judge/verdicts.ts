/**
 * Verdicts in the answers of judges, as docs/judges.md states them. An answer without one, or with several that differ, has
 * none: nothing is guessed.
 *
 * As FastChat's and Arena-Hard's readers (double brackets; single ones where no double ones are; capitals), except: several
 * different verdicts are none, a rating in single brackets must be called one, and thinking is not read.
 */
import { FormatError, messageOf } from "../../base/errors.ts";
import { saidAloud } from "./thinking.ts";

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

const numberForm = String.raw`([-+]?\d+(?:\.\d*)?)(?:\/10)?`;
const ratingPatterns = [
  new RegExp(String.raw`\[\[${numberForm}\]\]`, "g"),
  // "[1]" may be a footnote: it is a rating where it is called one, or where nothing else is said
  new RegExp(String.raw`\b(?:rating|score|grade)[*_]*(?:\s*[:=]|\s+is:?)[\s*_]*\[${numberForm}\]`, "gi"),
  new RegExp(String.raw`^\s*\[${numberForm}\]\s*$`, "g"),
];
const letterPatterns = [/\[\[([ABC])\]\]/g];

/** A rating from 1 to 10 as `[[7]]`; where there is none so, as `Rating: [7]` or `[7]` and nothing else. */
export function readRating(answer: string): number | null {
  const found = only(plain(answer), ratingPatterns, Number);
  return found !== null && found >= 1 && found <= 10 ? found : null;
}

/** `[[A]]`, `[[B]]` or `[[C]]` for a tie, as MT-Bench's judge prompts ask for. */
export function readLetter(answer: string): PairVerdict | null {
  return only(plain(answer).toUpperCase(), letterPatterns, (letter) => letters[letter] ?? null);
}

/**
 * A reader of the five verdicts `A>>B` … `B>>A`.
 *
 * @param patterns - regular expressions with one group, tried in this order on the answer in capitals, as Arena-Hard does
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
  return (answer) => only(plain(answer).toUpperCase(), compiled, (label) => labels[label.trim()] ?? null);
}

/** What the first pattern that matches at all found, if it means the same everywhere. */
function only<V>(
  answer: string,
  patterns: readonly RegExp[],
  meaning: (group: string) => V | null,
): V | null {
  for (const pattern of patterns) {
    const found = [...answer.matchAll(pattern)].flatMap(([, group]) => (group ? [meaning(group)] : []));
    if (found.length > 0) return new Set(found).size === 1 ? (found[0] ?? null) : null;
  }
  return null;
}

const htmlSigns: Readonly<Record<string, string>> = { "&gt;": ">", "&lt;": "<", "&#91;": "[", "&#93;": "]" };

/** What is said aloud, with every way of writing brackets and signs brought to one, and no marks or spaces within brackets. */
function plain(answer: string): string {
  return saidAloud(answer)
    .normalize("NFKC")
    .replace(/&(?:gt|lt|#9[13]);/g, (sign) => htmlSigns[sign] ?? sign)
    .replace(/\\([[\]<>=*_])/g, "$1")
    .replace(/[【〔〖]/g, "[")
    .replace(/[】〕〗]/g, "]")
    .replace(/\[[\s*_`]*\[[^[\]]*\][\s*_`]*\]|\[[^[\]]*\]/g, (bracket) => bracket.replace(/[\s*_`]+/g, ""));
}
