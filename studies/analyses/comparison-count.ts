/** How many comparisons a study made, in words: the more, the more of them are beyond chance by chance. */
import { numberText } from "preftune/sweep";
import type { SetMean } from "./excess.ts";

/** Training sets below which an interval over them says little: with three its half is 4.3 standard errors, with two 12.7. */
export const leastSets = 4;

/** The intervals of a study over training sets. */
interface Counted {
  sets: number;
  /** What methods are judged by. */
  margins: readonly SetMean[];
  /** Drift and tail of the same methods. */
  damage: readonly SetMean[];
  /** What other tables have. */
  besides: readonly SetMean[];
}

/** How many there are, and how many would be beyond chance were there no effect at all; that there are few sets, where that is so. */
export function comparisonSentences({ sets, margins, damage, besides }: Counted): string[] {
  const count = (some: readonly SetMean[]): number => some.filter((one) => one.sets > 1).length;
  const all = count(margins) + count(damage) + count(besides);
  const about = (comparisons: number): string => numberText(comparisons / 20, 1);
  const few =
    sets < leastSets
      ? [
          `There are ${sets} training sets, and intervals over fewer than ${leastSets} say little: run more (--seeds ${leastSets}).`,
        ]
      : [];
  return [
    ...few,
    `${count(margins)} methods and learning rates were compared with the curve by their margin; were there no effect at all, about ${about(count(margins))} of their intervals would not hold 0. ` +
      `With drift and tail, the baselines and the other tables it is ${all} intervals, of which about ${about(all)} would not. There is no correction for that.`,
  ];
}
