/** Finds the answer in a text with LaTeX. */
import { lastDigits } from "./number.ts";

/** What is longer is no answer. */
const longestAnswer = 1000;

/** The content of the last \boxed{…}; null: there is none. */
export function boxedIn(text: string): string | null {
  const start = text.lastIndexOf("\\boxed{");
  if (start < 0) return null;
  const first = start + "\\boxed{".length;
  let depth = 1;
  for (let i = first; i < text.length && i < first + longestAnswer; i++) {
    const character = text[i];
    // a brace that is written, not a group
    if (character === "\\") i++;
    else if (character === "{") depth++;
    else if (character === "}") depth--;
    if (depth === 0) return text.slice(first, i);
  }
  return null;
}

/** Two prices are no formula: a dollar that closes one stands before no digit, and before no word where white space is before it. */
const inDollars = /(?<![\\\d])\$((?:\\[^\n]|[^$\\\n])+)(?:(?<!\s)\$(?!\d)|(?<=\s)\$(?![\w\\]))/;
const formulas = new RegExp(
  [/(?<!\\)\$\$([^$]+)\$\$/, inDollars, /\\\(((?:[^\\]|\\[^()])+)\\\)/, /\\\[((?:[^\\]|\\[^[\]])+)\\\]/]
    .map(({ source }) => source)
    .join("|"),
  "g",
);
/** What counts as a formula behind the word "answer" too: what stands in brackets, and a fraction of two numbers. */
const announced = new RegExp(
  [formulas, /(?<=\s)\[([^\n\][]+)\](?=\s)/, /(-?\\frac\{-?\d+(?:[.,]\d+)?\}\{-?\d+(?:[.,]\d+)?\})/]
    .map(({ source }) => source)
    .join("|"),
  "g",
);

/** What may stand between formulas that are one answer together. */
const connective = /^\s*(?:,?\s*(?:and|or)|,)\s*$/;

interface Formula {
  at: number;
  end: number;
  latex: string;
}

/** The formulas of a text; those that "and", "or" or a comma connects are one, with commas between its parts. */
function formulasIn(text: string, pattern: RegExp): Formula[] {
  const all: Formula[] = [];
  for (const match of text.matchAll(pattern)) {
    const [at, end] = [match.index, match.index + match[0].length];
    const latex = match.slice(1).find((each) => each !== undefined) ?? "";
    const last = all.at(-1);
    const isPart = last !== undefined && connective.test(text.slice(last.end, at));
    if (isPart && last.latex.length + latex.length < longestAnswer) {
      last.latex = `${last.latex.replace(/(?<!\\)[,;]\s*$/, "")}, ${latex}`;
      last.end = end;
    } else all.push({ at, end, latex });
  }
  return all;
}

/** How a text announces its answer, best first, and how many characters before the answer that may begin. */
const announcements = [
  { words: /final answer.{0,100}?\s+is:?\s*$/is, reach: 130 },
  { words: /answer:.{0,50}$/is, reach: 57 },
  { words: /answer.{0,50}$/is, reach: 56 },
];

/** The first LaTeX formula behind "final answer … is", else behind the word "answer", the last time that it has one; null: it has none. */
export function announcedIn(text: string): string | null {
  const all = formulasIn(text, announced);
  for (const { words, reach } of announcements) {
    const found = all.findLast(({ at }, i) =>
      words.test(text.slice(Math.max(at - reach, all[i - 1]?.end ?? 0), at)),
    );
    if (found !== undefined) return found.latex;
  }
  return null;
}

/** The number, or fraction of two, that directly follows the word "answer", the last time that one does; null: none does. */
export function announcedNumberIn(text: string): string | null {
  const number = /[-+−]?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:\/\d+)?/;
  const pattern = `answer(?:\\s+is)?[\\s:=*$€£]*(${number.source})(?![\\w^\\\\{]|[.]\\d)(?!\\s*(?:[=+/×·-]|\\*(?!\\*)))`;
  const found = [...text.matchAll(new RegExp(pattern, "gi"))].at(-1)?.[1];
  return found?.replace("−", "-").replace(/,$/, "") ?? null;
}

/**
 * What may be the answer of a text that announces none, in the order in which it counts: its LaTeX formulas from the last, the text
 * itself where it is one, its last number. Nothing follows one that is surely LaTeX: if that is no answer, the text has none.
 */
export function* unannouncedIn(text: string): Generator<string> {
  const all = formulasIn(text, formulas);
  const whole = text.trim();
  const isFormula = whole !== "" && whole.length <= longestAnswer && !isProse(whole);
  const candidates = all.length > 0 ? all.map(({ latex }) => latex).reverse() : isFormula ? [whole] : [];
  for (const latex of candidates) {
    yield latex;
    if (/[\\^_{}]/.test(latex)) return;
  }
  const number = lastDigits(text);
  if (number !== null) yield number;
}

const commands =
  /\\(?:text|mathrm|mathbf|textbf|operatorname)\{[^{}]*\}|\\(?:begin|end)\{[a-z*]+\}|\\[A-Za-z]+/g;

/** Whether a text has words: four letters in a row, or two beside something that no operator joins them to. `3xy+2` has none. */
function isProse(text: string): boolean {
  const bare = text.replace(commands, "+");
  return /[\n#;?]|[A-Za-z]{4}|[A-Za-z]{2}[,.:]?\s+[A-Za-z\d]|[A-Za-z\d)]\s+[A-Za-z]{2}/.test(bare);
}

/** LaTeX of an answer without what does not change its meaning: currency, spaces, a full stop, commas between thousands. */
export function normalLatex(latex: string): string {
  return (
    latex
      .trim()
      .replace(/[.]$/, "")
      .replaceAll("\\$", "")
      // \mathbf{(A)}, which the library refuses
      .replace(/\\math(?:rm|bf|it|sf|tt)\{\s*\(\s*([A-Za-z])\s*\)\s*\}/g, "$1")
      // \\ ends a row, whatever stands behind it
      .replace(/\\(?:left|right)(?![A-Za-z])|\\\\|\\[!,;: ]/g, (found) => (found === "\\\\" ? found : ""))
      .replace(/(?<![\d,([{.])\d{1,3}(?:,\d{3})+(?!,?\d)/g, (digits) => digits.replaceAll(",", ""))
      .trim()
  );
}
