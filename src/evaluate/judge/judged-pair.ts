/** Pairs of answers judged in both orders, and what all statistics of them share. */
import type { AnswerStyle } from "./style.ts";
import type { PairVerdict } from "./verdicts.ts";

/** Two answers, judged in both orders. Verdicts are seen from A: above 0 where A is better. */
export interface JudgedPair {
  /** Question; pairs of the same one are resampled together. */
  id: string;
  category: string | null;
  /** Turn of the conversation, from 1. */
  turn: number;
  /** With A shown first, and with B shown first; null where there is no verdict. */
  verdicts: readonly [PairVerdict | null, PairVerdict | null];
  styles: readonly [a: AnswerStyle, b: AnswerStyle];
}

/** 1 where A wins in both orders, 0 where B does, 0.5 otherwise; null without both verdicts. */
export function outcomeOf({ verdicts: [first, second] }: JudgedPair): number | null {
  if (first === null || second === null) return null;
  if (first > 0 && second > 0) return 1;
  return first < 0 && second < 0 ? 0 : 0.5;
}

/** Items by the question they belong to: what is resampled together. */
export function byQuestion<T extends { id: string }>(items: readonly T[]): T[][] {
  return [...Map.groupBy(items, ({ id }) => id).values()];
}
