/** Characters as Python's str sees them: white space, line ends, case, what `repr` shows. */

/** What `str.strip()` and `str.isspace()` take for white space. */
export const pythonSpace: ReadonlySet<string> = new Set(
  "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000",
);

/** The same as a class for regular expressions. */
export const spaceClass =
  "[\\t-\\r\\x1c- \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]";

/** `text` without the characters of `set` at the chosen ends. */
export function stripCharacters(
  text: string,
  side: "both" | "left" | "right",
  set: ReadonlySet<string>,
): string {
  const units = [...text];
  let start = 0;
  let end = units.length;
  if (side !== "right") while (start < end && set.has(units[start] ?? "")) start++;
  if (side !== "left") while (end > start && set.has(units[end - 1] ?? "")) end--;
  return start === 0 && end === units.length ? text : units.slice(start, end).join("");
}

const lineEnds = "\n\v\f\r\x1c-\x1e\x85\u2028\u2029";
const lineEnd = new RegExp(`\r\n|[${lineEnds}]`, "g");

/** `text.splitlines(keepends)`. */
export function splitLines(text: string, keepEnds = false): string[] {
  const lines: string[] = [];
  let start = 0;
  for (const match of text.matchAll(lineEnd)) {
    const end = match.index + match[0].length;
    lines.push(text.slice(start, keepEnds ? end : match.index));
    start = end;
  }
  if (start < text.length) lines.push(text.slice(start));
  return lines;
}

/** First code points of letters whose title case is the letter itself though they have an upper case: Georgian. */
const ownTitle = /^[\u10D0-\u10FA\u10FD-\u10FF]$/;
const digraphs: Readonly<Record<string, string>> = {
  Ǆ: "ǅ",
  ǅ: "ǅ",
  ǆ: "ǅ",
  Ǉ: "ǈ",
  ǈ: "ǈ",
  ǉ: "ǈ",
  Ǌ: "ǋ",
  ǋ: "ǋ",
  ǌ: "ǋ",
  Ǳ: "ǲ",
  ǲ: "ǲ",
  ǳ: "ǲ",
};

/** One character in title case: upper case but for ligatures and the iota subscript of Greek. */
function titleCharacter(character: string): string {
  if (ownTitle.test(character)) return character;
  const digraph = digraphs[character];
  if (digraph !== undefined) return digraph;
  const [first = "", ...rest] = Array.from(character.toUpperCase());
  if (rest.length === 0) return first;
  if (rest.at(-1) === "Ι" && /[\u1F80-\u1FFF]/.test(character)) return greekTitle(character, first, rest);
  // behind an apostrophe, which has no case, the letter is the first: ŉ
  if (!/\p{Lu}/u.test(first)) return first + rest.join("");
  return first + rest.map((part) => (/\p{L}/u.test(part) ? part.toLowerCase() : part)).join("");
}

/** Greek letters with an iota subscript: their title form has the iota below (one character) or a combining one. */
function greekTitle(character: string, first: string, rest: readonly string[]): string {
  const composed = character
    .normalize("NFD")
    .replace(/^./u, first.normalize("NFD")[0] ?? "")
    .normalize("NFC");
  return Array.from(composed).length === 1 ? composed : `${first}${rest.slice(0, -1).join("")}\u0345`;
}

/** `text.capitalize()`. */
export function capitalize(text: string): string {
  const [first = ""] = text;
  return titleCharacter(first) + text.toLowerCase().slice(first.toLowerCase().length);
}

/** `text.title()`: a letter behind anything that has no case begins a word. */
export function titleCase(text: string): string {
  const lower = Array.from(text);
  let wasCased = false;
  let result = "";
  let position = 0;
  for (const character of lower) {
    result += wasCased ? lowerAt(text, position, character) : titleCharacter(character);
    wasCased = /\p{Cased}/u.test(character);
    position += character.length;
  }
  return result;
}

/** The lower case of one character in its place: a sigma that ends a word has a special form. */
function lowerAt(text: string, position: number, character: string): string {
  if (character !== "Σ") return character.toLowerCase();
  return text
    .slice(0, position + 1)
    .toLowerCase()
    .endsWith("ς") && !continues(text.slice(position + 1))
    ? "ς"
    : "σ";
}

function continues(rest: string): boolean {
  return /^\p{Case_Ignorable}*\p{Cased}/u.test(rest);
}

/** `text.swapcase()`. */
export function swapCase(text: string): string {
  let result = "";
  let position = 0;
  for (const character of text) {
    if (/\p{Uppercase}/u.test(character)) result += lowerAt(text, position, character);
    else result += /\p{Lowercase}/u.test(character) ? character.toUpperCase() : character;
    position += character.length;
  }
  return result;
}

/** `repr(text)`. */
export function reprText(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  let body = "";
  for (const character of text) body += reprCharacter(character, quote);
  return quote + body + quote;
}

const shortEscapes: Readonly<Record<string, string>> = {
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\\": "\\\\",
};

function reprCharacter(character: string, quote: string): string {
  if (character === quote) return `\\${quote}`;
  const short = shortEscapes[character];
  if (short !== undefined) return short;
  if (isPrintable(character)) return character;
  return escapeCode(character.codePointAt(0) ?? 0);
}

/** A code point as Python's `\xNN`, `\uNNNN` or `\UNNNNNNNN`. */
export function escapeCode(code: number): string {
  const hex = code.toString(16);
  if (code < 0x100) return `\\x${hex.padStart(2, "0")}`;
  return code < 0x10000 ? `\\u${hex.padStart(4, "0")}` : `\\U${hex.padStart(8, "0")}`;
}

/** `character.isprintable()`. */
export function isPrintable(character: string): boolean {
  return character === " " || !/[\p{C}\p{Z}]/u.test(character);
}

/** -1, 0 or 1: the order of two texts by code points. */
export function compareText(a: string, b: string): number {
  if (a === b) return 0;
  let i = 0;
  while (i < a.length && i < b.length && a.charCodeAt(i) === b.charCodeAt(i)) i++;
  if (i === a.length) return -1;
  if (i === b.length) return 1;
  // Two halves of a pair are compared as the code point that they are part of.
  const x = a.charCodeAt(i);
  const y = b.charCodeAt(i);
  const rank = (unit: number): number => (unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit);
  return rank(x) < rank(y) ? -1 : 1;
}
