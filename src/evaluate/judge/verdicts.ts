/**
 * Verdicts in the answers of judges, as docs/judges.md states them. An answer without one, or with several that differ, has
 * none: nothing is guessed.
 *
 * As FastChat's and Arena-Hard's readers (double brackets; single ones where no double ones are; capitals), except: several
 * different verdicts are none, a rating in single brackets must be called one, and thinking is not read.
 */
import { FormatError, messageOf } from "../../base/errors.ts";
import { TimeLimitError, withinComputedTime } from "../../base/time-limit.ts";

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
  // "[1]" may be a footnote: it is a rating where it is called one, or where it is the whole answer
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

/** Processor time for one answer and the expressions of a prompt, which are the user's; ordinary ones need a thousandth of it. */
const readLimitMs = 1000;

/**
 * A reader of the five verdicts `A>>B` … `B>>A`. It throws a {@link FormatError} when the expressions take too long for an answer.
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
  return (answer) => {
    const text = plain(answer).toUpperCase();
    try {
      return withinComputedTime(readLimitMs, () =>
        only(text, compiled, (label) => labels[label.trim()] ?? null),
      );
    } catch (cause) {
      throw cause instanceof TimeLimitError ? tooSlow(where, patterns, text.length) : cause;
    }
  };
}

function tooSlow(where: string, patterns: readonly string[], length: number): FormatError {
  return new FormatError(
    `${where}: expected regular expressions that read an answer of ${length} characters within ${readLimitMs / 1000} s of processor ` +
      String.raw`time, got '${patterns.join("', '")}'. Use ones in which no part can match the same text in two ways, such as '\[\[([AB<>=]+)\]\]'.`,
  );
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

/** The answer without thoughts, with every way of writing brackets and signs brought to one, and no marks or spaces within brackets. */
function plain(answer: string): string {
  return withoutThoughts(answer)
    .normalize("NFKC")
    .replace(/&(?:gt|lt|#9[13]);/g, (sign) => htmlSigns[sign] ?? sign)
    .replace(/\\([[\]<>=*_])/g, "$1")
    .replace(/[【〔〖]/g, "[")
    .replace(/[】〕〗]/g, "]")
    .replace(/\[[\s*_`]*\[[^[\]]*\][\s*_`]*\]|\[[^[\]]*\]/g, (bracket) => bracket.replace(/[\s*_`]+/g, ""));
}

/**
 * Marks in which models put their thoughts: tags of most (Seed's with its name before), `[THINK]`, `◁think▷`,
 * `<|begin_of_thought|>`. Those in backquotes are talked about, and `<think/>` holds nothing.
 */
const mark = new RegExp(
  [
    String.raw`<\s*(?:(\/)\s*)?(?:\w+:)?(?:think|thinking|thought|thoughts|reasoning)\b[^<>]*(?<!\/)>`,
    String.raw`\[(\/?)THINK\]`,
    String.raw`◁(\/?)think▷`,
    String.raw`<\|(begin|end)_of_thought\|>`,
  ]
    .map((form) => `(?<!\`)${form}(?!\`)`)
    .join("|"),
  "gi",
);
/** gpt-oss's channels, where a server lets them through: only the last final one is the answer. */
const channel = /<\|channel\|>\s*(\w+)\b[^<]*<\|message\|>/g;

/**
 * `answer` without its thinking blocks. Blocks may be nested; one that is not closed goes to the end; a closing mark without
 * an opening one closes what the chat template opened, so everything before it was thought. A mark in backquotes is one
 * that is talked about.
 */
function withoutThoughts(answer: string): string {
  const text = finalChannel(answer);
  let spoken = "";
  let depth = 0;
  let from = 0;
  for (const found of text.matchAll(mark)) {
    const isClosing = [found[1], found[2], found[3], found[4]?.toLowerCase()].some(
      (sign) => sign === "/" || sign === "end",
    );
    if (depth === 0) spoken = isClosing ? "" : spoken + text.slice(from, found.index);
    depth = isClosing ? Math.max(0, depth - 1) : depth + 1;
    from = found.index + found[0].length;
  }
  return depth > 0 ? spoken : spoken + text.slice(from);
}

function finalChannel(answer: string): string {
  const channels = [...answer.matchAll(channel)];
  if (channels.length === 0) return answer;
  const last = channels.findLast(([, name]) => name === "final");
  if (last === undefined) return "";
  const text = answer.slice(last.index + last[0].length);
  return text.split(/<\|(?:end|return|start|call)\|>/, 1)[0] ?? "";
}
