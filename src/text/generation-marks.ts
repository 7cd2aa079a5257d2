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

/** The text without the marks, and the spans that they enclosed. */
export function readGenerationMarks(marked: string, marks: Marks): { text: string; spans: TextSpan[] } {
  const spans: TextSpan[] = [];
  let text = "";
  let open: number | null = null;
  let from = 0;
  for (let at = 0; at < marked.length; at++) {
    const unit = marked[at];
    if (unit !== marks.start && unit !== marks.end) continue;
    text += marked.slice(from, at);
    from = at + 1;
    if (unit === marks.start) open ??= text.length;
    else if (open !== null) {
      if (text.length > open) spans.push({ start: open, end: text.length });
      open = null;
    }
  }
  return { text: text + marked.slice(from), spans };
}
