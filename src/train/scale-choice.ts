/** Which scale to take, by a rule: chosen on one half of the held-out pairs and measured on the other. */
import { ConfigError } from "../base/errors.ts";
import type { CompletionChange } from "./token-changes.ts";
import { damage } from "./token-changes.ts";

/** What is wanted of a scale. */
export interface ScaleRule {
  /** What is to be as large as the bounds allow. */
  max: "margin" | "chosen" | "accuracy";
  /** Least mean change of chosen completions, nats per token. */
  chosen_min?: number;
  /** Largest drift, nats. */
  drift_max?: number;
  /** Least tail, nats: −1 allows that one token in a hundred lost 1. */
  tail_min?: number;
}

/** What one scale does to one pair. */
export interface PairAtScale {
  /** Change of the mean log-probs per token since the start. */
  chosen: number;
  rejected: number;
  /** Chosen − rejected as they are. */
  margin: number;
}

/** A scale, and what it does. */
export interface MeasuredScale {
  scale: number;
  pairs: readonly PairAtScale[];
  changes: readonly CompletionChange[];
}

/** A mean with its 95 % interval over pairs. */
export interface Estimated {
  value: number;
  low: number;
  high: number;
}

/** What was chosen. */
export interface ScaleChoice {
  rule: ScaleRule;
  scale: number;
  /** The scale that is best on the choosing half; another than `scale` where the two cannot be distinguished. */
  best: number;
  /** Whether all scales that meet the bounds cannot be distinguished from the best. */
  isUndecided: boolean;
  /** Pairs of the choosing half, and of the half that the figures are of. */
  choosing: number;
  reporting: number;
  figures: Record<"chosen" | "margin" | "accuracy", Estimated> & { drift: number; tail: number };
}

/** Held-out pairs that a choice needs. */
const leastPairs = 30;

type Interval = (values: readonly number[]) => { low: number; high: number };

/**
 * The scale that the rule picks on the pairs of `choosing`, its figures on those of `reporting`. Of scales that cannot be distinguished from the best,
 * by the paired interval of what is to be large, the smallest is kept.
 *
 * @param interval - of the mean of some values
 * @throws {ConfigError} if no scale meets the bounds, naming the nearest; or there are fewer than 30 pairs
 */
export function chosenScale(
  scales: readonly MeasuredScale[],
  rule: ScaleRule,
  {
    choosing,
    reporting,
    interval,
  }: { choosing: ReadonlySet<number>; reporting: ReadonlySet<number>; interval: Interval },
): ScaleChoice {
  if (choosing.size + reporting.size < leastPairs) {
    throw new ConfigError(
      `a scale is chosen on one half of the held-out pairs and measured on the other: expected at least ${leastPairs} pairs, got ${choosing.size + reporting.size}. Hold out more rows (eval_data, eval_fraction).`,
    );
  }
  const halves = scales.map((one) => ({ ...one, own: only(one, choosing) }));
  const allowed = halves.filter(({ own }) => shortfall(own, rule) === 0);
  if (allowed.length === 0) throw nothingMeets(halves, rule);
  const gainOf = (pair: PairAtScale): number => target(pair, rule);
  const best = allowed.reduce((a, b) =>
    mean(b.own.pairs.map(gainOf)) > mean(a.own.pairs.map(gainOf)) ? b : a,
  );
  const isAlike = ({ own }: (typeof allowed)[number]): boolean => {
    const differences = best.own.pairs.map((pair, i) => gainOf(pair) - gainOf(own.pairs[i] ?? pair));
    return interval(differences).low <= 0;
  };
  const alike = allowed.filter((one) => one === best || isAlike(one));
  const kept = alike.reduce((a, b) => (b.scale < a.scale ? b : a));
  const other = only(kept, reporting);
  const estimated = (values: readonly number[]): Estimated => ({ value: mean(values), ...interval(values) });
  const { drift, tail } = damageOf(other);
  return {
    rule,
    scale: kept.scale,
    best: best.scale,
    isUndecided: alike.length === allowed.length && allowed.length > 1,
    choosing: choosing.size,
    reporting: reporting.size,
    figures: {
      chosen: estimated(other.pairs.map(({ chosen }) => chosen)),
      margin: estimated(other.pairs.map(({ chosen, rejected }) => chosen - rejected)),
      accuracy: estimated(other.pairs.map(({ margin }) => right(margin))),
      drift,
      tail,
    },
  };
}

/** The places of pairs whose chosen and reported halves are apart: every other one, in the order of their keys. */
export function halvesOf(keys: readonly string[]): { choosing: Set<number>; reporting: Set<number> } {
  const order = [...keys.keys()].sort((a, b) => ((keys[a] ?? "") < (keys[b] ?? "") ? -1 : 1));
  return {
    choosing: new Set(order.filter((_, i) => i % 2 === 0)),
    reporting: new Set(order.filter((_, i) => i % 2 === 1)),
  };
}

interface Half {
  pairs: readonly PairAtScale[];
  changes: readonly CompletionChange[];
}

function only({ pairs, changes }: MeasuredScale, rows: ReadonlySet<number>): Half {
  return {
    pairs: pairs.filter((_, row) => rows.has(row)),
    changes: changes.filter(({ row }) => rows.has(row)),
  };
}

function damageOf({ changes }: Half): { drift: number; tail: number } {
  const figures = damage(changes);
  return {
    drift: figures["displacement/token_change_mean_abs"] ?? Number.NaN,
    tail: figures["displacement/token_change_p01"] ?? Number.NaN,
  };
}

/** By how much the bounds are missed, nats in all; 0 where they are met. */
function shortfall(half: Half, { chosen_min, drift_max, tail_min }: ScaleRule): number {
  const { drift, tail } = damageOf(half);
  const chosen = mean(half.pairs.map((pair) => pair.chosen));
  const missed = [
    chosen_min === undefined ? 0 : chosen_min - chosen,
    drift_max === undefined ? 0 : drift - drift_max,
    tail_min === undefined ? 0 : tail_min - tail,
  ];
  return missed.reduce((sum, one) => sum + Math.max(0, one), 0);
}

function nothingMeets(halves: readonly { scale: number; own: Half }[], rule: ScaleRule): ConfigError {
  const nearest = halves.toSorted((a, b) => shortfall(a.own, rule) - shortfall(b.own, rule))[0];
  const { drift, tail } = damageOf(nearest?.own ?? { pairs: [], changes: [] });
  const chosen = mean((nearest?.own.pairs ?? []).map((pair) => pair.chosen));
  return new ConfigError(
    `no scale meets the bounds: the nearest is ${nearest?.scale}, with a chosen change of ${chosen.toFixed(4)}, drift ${drift.toFixed(4)} and tail ${tail.toFixed(4)}. Widen a bound, or give other scales.`,
  );
}

function target({ chosen, rejected, margin }: PairAtScale, { max }: ScaleRule): number {
  if (max === "accuracy") return right(margin);
  return max === "chosen" ? chosen : chosen - rejected;
}

function right(margin: number): number {
  return margin > 0 ? 1 : margin === 0 ? 0.5 : 0;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
