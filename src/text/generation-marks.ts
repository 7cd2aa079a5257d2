/**
 * The parts of a rendered conversation that a template marks as the assistant's, with `{% generation %}` and
 * `{% endgeneration %}` as in transformers: found by letting the template write two strings there that the
 * conversation does not hold, and taking them out of the text again.
 */
import { generationEnd, generationStart } from "./jinja/render.ts";

/** Characters [start, end) of a text. */
export interface TextSpan {
  start: number;
  end: number;
}

/** The variables that the tag reads; they are empty unless they are given. */
const variables = { start: generationStart, end: generationEnd };

/** Strings that stand at the ends of marked parts. */
export interface Marks {
  start: string;
  end: string;
}

/** Unicode's noncharacters: no text that is exchanged holds one. */
const firstMark = 0xfdd0;
const markCount = 32;

const tag = /\{%([-+]?)\s*(end)?generation\s*([-+]?)%\}/g;

/** True when `source` marks what the assistant wrote. */
export function hasGenerationMarks(source: string): boolean {
  return source.search(tag) >= 0;
}

/** Two strings that `conversation` does not hold; null when it holds every noncharacter, which no text does by chance. */
export function chooseMarks(conversation: unknown): Marks | null {
  const text = JSON.stringify(conversation);
  const free: string[] = [];
  for (let i = 0; i < markCount && free.length < 2; i++) {
    const mark = String.fromCharCode(firstMark + i);
    if (!text.includes(mark)) free.push(mark);
  }
  const [start, end] = free;
  return start !== undefined && end !== undefined ? { start, end } : null;
}

/** The template's variables for `marks`. */
export function generationVariables(marks: Marks): Record<string, string> {
  return { [variables.start]: marks.start, [variables.end]: marks.end };
}

/**
 * Whether a template catches text before it writes it, in a block that `set`, `filter`, `macro` or `call` begins: what it does
 * to such text, such as trimming it, it may do otherwise with marks inside.
 */
export function catchesText(source: string): boolean {
  return /\{%[-+]?\s*end(?:set|filter|macro|call)\b/.test(source);
}

/**
 * The text without the marks, and the spans that they enclosed; a span inside another is part of it.
 *
 * @returns null when the marks are not in pairs: the template took some away
 */
export function readGenerationMarks(
  marked: string,
  marks: Marks,
): { text: string; spans: TextSpan[] } | null {
  const spans: TextSpan[] = [];
  let text = "";
  let depth = 0;
  let start = 0;
  for (const piece of marked.split(new RegExp(`([${marks.start}${marks.end}])`))) {
    const step = stepAt(piece, marks);
    if (step === 0) text += piece;
    else if (depth === 0) start = text.length;
    depth += step;
    if (depth < 0) return null;
    if (step < 0 && depth === 0 && text.length > start) spans.push({ start, end: text.length });
  }
  return depth === 0 ? { text, spans } : null;
}

function stepAt(piece: string, marks: Marks): -1 | 0 | 1 {
  if (piece === marks.start) return 1;
  return piece === marks.end ? -1 : 0;
}
