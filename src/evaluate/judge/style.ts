/** The style of an answer in numbers: how long it is and how much Markdown is in it. */
import { words } from "../diversity/bleu.ts";

/** Counts of one answer. */
export interface AnswerStyle {
  /** Words and signs (13a tokens). */
  length: number;
  headers: number;
  bold: number;
  lists: number;
}

/** Names of what is counted. */
export const STYLE_FEATURES = ["length", "headers", "bold", "lists"] as const;

/**
 * The counts of an answer of one or more texts. Markdown inside code fences is not counted.
 *
 * Differs: Arena-Hard counts the tokens of an OpenAI tokenizer; the ratios that are made of lengths differ little.
 */
export function styleOf(texts: readonly string[]): AnswerStyle {
  const text = texts.join("\n\n");
  const prose = text.replace(/```[\s\S]*?(?:```|$)/g, "");
  const count = (pattern: RegExp): number => prose.match(pattern)?.length ?? 0;
  return {
    length: words(text).length,
    headers: count(/^ {0,3}#{1,6}\s/gm),
    bold: count(/\*\*[^*\n]+\*\*|__[^_\n]+__/g),
    lists: count(/^[ \t]*(?:\d+[.)]|[-*+])\s/gm),
  };
}

/** How much more of a feature A has than B: (a − b) / (a + b), from −1 to 1; 0 where neither has any. */
export function styleDifference(a: number, b: number): number {
  return a + b === 0 ? 0 : (a - b) / (a + b);
}
