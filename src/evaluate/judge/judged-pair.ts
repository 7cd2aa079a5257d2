/** Pairs of answers judged in both orders, and what all statistics of them share. */
import {
  alikeInterval,
  type BootstrapOptions,
  bootstrapInterval,
  type Interval,
} from "../../stats/bootstrap.ts";
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

/** A statistic with its interval. */
export interface Statistic {
  value: number;
  interval: Interval;
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

/** What verdicts or ratings of one question are worth together, and how many they are. */
export interface Worth {
  sum: number;
  count: number;
}

/**
 * The mean worth of verdicts, with an interval over questions: verdicts of one question depend on one another and are resampled
 * together. Where all questions are alike, no resample differs, and the interval is that of {@link alikeInterval}.
 *
 * @param range - what a verdict may be worth
 */
export function meanOverQuestions(
  questions: readonly Worth[],
  bootstrap: BootstrapOptions = {},
  range?: Interval,
): Statistic {
  const mean = (draw: Iterable<number>): number => {
    let [sum, count] = [0, 0];
    for (const i of draw) {
      sum += questions[i]?.sum ?? 0;
      count += questions[i]?.count ?? 0;
    }
    return sum / count;
  };
  const value = mean(questions.keys());
  const means = questions.flatMap(({ sum, count }) => (count > 0 ? [sum / count] : []));
  const isAlike = means.length > 0 && means.every((one) => one === means[0]);
  const interval = isAlike
    ? alikeInterval(value, means.length, bootstrap, range)
    : bootstrapInterval(questions.length, mean, bootstrap);
  return { value, interval };
}
