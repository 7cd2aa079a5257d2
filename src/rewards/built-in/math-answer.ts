/** Finds the answer in a text with LaTeX. */
import { lastNumber } from "./number.ts";

/** What is longer is no answer. */
const longestAnswer = 1000;

/** Characters between the word "answer" and the answer. */
const reach = 100;

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

const formulas = /\$\$([^$]+)\$\$|\$([^$\n]+)\$|\\\(((?:[^\\]|\\(?!\)))+)\\\)|\\\[((?:[^\\]|\\(?!\]))+)\\\]/g;

interface Formula {
  at: number;
  latex: string;
}

function formulasIn(text: string): Formula[] {
  return [...text.matchAll(formulas)].map((match) => ({
    at: match.index,
    latex: match.slice(1).find((each) => each !== undefined) ?? "",
  }));
}

/** The LaTeX formula that follows the word "answer", the last time that one does; null: none does. */
export function announcedIn(text: string): string | null {
  const all = formulasIn(text);
  const words = [...text.matchAll(/answer/gi)].map(({ index }) => index + "answer".length);
  for (const word of words.reverse()) {
    const found = all.find(({ at }) => at >= word && at <= word + reach);
    if (found !== undefined) return found.latex;
  }
  return null;
}

/** The last LaTeX formula, the text itself where it is one, or its last number; null: none of these. */
export function lastFormulaIn(text: string): string | null {
  const last = formulasIn(text).at(-1);
  if (last !== undefined) return last.latex;
  const whole = text.trim();
  if (whole !== "" && whole.length <= longestAnswer && !isProse(whole)) return whole;
  const number = lastNumber(text);
  return number === null ? null : String(number);
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
