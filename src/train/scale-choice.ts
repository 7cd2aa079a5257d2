/** Which scale to take, by a rule: chosen on one half of the held-out pairs and measured on the other. */
import { at } from "../base/at.ts";
import { ConfigError } from "../base/errors.ts";
import type { Example } from "../data/example.ts";
import { promptKeyOf } from "../data/fingerprint.ts";
import type { ScaleChoice, ScaleEstimate, ScaleRule } from "../runs/scale-record.ts";
import { shareInterval } from "../stats/bootstrap.ts";
import { meanInterval } from "../stats/mean-interval.ts";
import { type PairChange, rightness } from "./displacement.ts";
import { type CompletionChange, damage } from "./token-changes.ts";

/** A scale, and what it does. */
export interface MeasuredScale {
  scale: number;
  pairs: readonly PairChange[];
  changes: readonly CompletionChange[];
}

/** Places of the pairs that choose, and of those that the choice is measured on. */
export interface Halves {
  choosing: ReadonlySet<number>;
  reporting: ReadonlySet<number>;
}

/** Held-out pairs that a choice needs, and how many each half needs of them. */
const leastPairs = 30;
const leastOfHalf = 10;

/**
 * The halves of some pairs. All pairs of one prompt are in one half; prompts come in the order of their hashes, each into the smaller half.
 *
 * @throws {ConfigError} for fewer than 30 pairs, and where one prompt has so many that a half is left with fewer than 10
 */
export function halvesOf(examples: readonly Example[]): Halves {
  const { length } = examples;
  if (length < leastPairs) {
    throw new ConfigError(
      `a scale is chosen on one half of the held-out pairs and measured on the other: expected at least ${leastPairs} pairs, got ${length}. Hold out more rows (eval_data, eval_fraction).`,
    );
  }
  const byPrompt = Map.groupBy(examples.keys(), (row) => promptKeyOf(at(examples, row)));
  const [choosing, reporting] = [new Set<number>(), new Set<number>()];
  for (const [, rows] of [...byPrompt].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const half = reporting.size < choosing.size ? reporting : choosing;
    for (const row of rows) half.add(row);
  }
  const least = Math.min(choosing.size, reporting.size);
  if (least >= leastOfHalf) return { choosing, reporting };
  throw new ConfigError(
    `a scale is chosen on one half of the held-out pairs and measured on the other, and pairs of one prompt stay together: the ${length} pairs have ${byPrompt.size} different prompts, and one half would have ${least} pairs, expected at least ${leastOfHalf}. Hold out pairs of more prompts.`,
  );
}

/**
 * The scale that the rule picks on the choosing half, its figures on the reporting one. Of scales that cannot be distinguished from the
 * best, by the paired interval of what is to be large, the smallest is kept.
 *
 * @throws {ConfigError} if no scale meets the bounds, naming the nearest
 */
export function chosenScale(
  scales: readonly MeasuredScale[],
  rule: ScaleRule,
  { choosing, reporting }: Halves,
): ScaleChoice {
  const halves = scales
    .map((one) => {
      const own = only(one, choosing);
      return { scale: one.scale, own, missed: shortfall(own, rule), other: only(one, reporting) };
    })
    .sort((a, b) => a.scale - b.scale);
  const allowed = halves.filter(({ missed }) => missed === 0);
  if (allowed.length === 0) throw nothingMeets(halves);
  const gains = ({ own }: (typeof allowed)[number]): number[] => own.pairs.map((pair) => target(pair, rule));
  const best = allowed.reduce((a, b) => (mean(gains(b)) > mean(gains(a)) ? b : a));
  const bestGains = gains(best);
  const isAlike = (one: (typeof allowed)[number]): boolean =>
    one === best || !(meanInterval(gains(one).map((gain, i) => (bestGains[i] ?? gain) - gain)).low > 0);
  const kept = allowed.find(isAlike) ?? best;
  return {
    rule,
    scale: kept.scale,
    best: best.scale,
    allowed: allowed.map(({ scale }) => scale),
    isUndecided: kept === allowed[0] && allowed.length > 1,
    choosing: choosing.size,
    reporting: reporting.size,
    figures: {
      chosen: estimated(kept.other.pairs.map(({ chosen }) => chosen)),
      margin: estimated(kept.other.pairs.map(({ chosen, rejected }) => chosen - rejected)),
      accuracy: shareOf(kept.other.pairs.map(({ margin }) => rightness(margin))),
      ...damageOf(kept.other),
    },
  };
}

interface Half {
  pairs: readonly PairChange[];
  changes: readonly CompletionChange[];
}

function only({ pairs, changes }: MeasuredScale, rows: ReadonlySet<number>): Half {
  return {
    pairs: pairs.filter((_, row) => rows.has(row)),
    changes: changes.filter(({ row }) => rows.has(row)),
  };
}

function estimated(values: readonly number[]): ScaleEstimate {
  const { mean: value, low, high } = meanInterval(values);
  return { value, low, high };
}

/** A share with Wilson's interval, which stays between 0 and 1. */
function shareOf(values: readonly number[]): ScaleEstimate {
  const hits = values.reduce((sum, value) => sum + value, 0);
  return { value: hits / values.length, ...shareInterval(hits, values.length) };
}

/** Of chosen tokens; where the change of one is no finite number both are as bad as can be. */
function damageOf({ changes }: Half): { drift: number; tail: number } {
  const figures = damage(changes);
  if ((figures["displacement/token_change_not_finite"] ?? 0) > 0) {
    return { drift: Number.POSITIVE_INFINITY, tail: Number.NEGATIVE_INFINITY };
  }
  return {
    drift: figures["displacement/token_change_mean_abs"] ?? Number.NaN,
    tail: figures["displacement/token_change_p01"] ?? Number.NaN,
  };
}

/** By how much the bounds are missed, nats in all; 0 where they are met. What is no number misses its bound by all there is. */
function shortfall(half: Half, { chosen_min = null, drift_max = null, tail_min = null }: ScaleRule): number {
  const { drift, tail } = damageOf(half);
  const missed = [
    chosen_min === null ? 0 : chosen_min - chosenOf(half),
    drift_max === null ? 0 : drift - drift_max,
    tail_min === null ? 0 : tail_min - tail,
    // without any bound too a ruined model is none to choose
    half.pairs.every((pair) => Object.values(pair).every(Number.isFinite)) ? 0 : Number.POSITIVE_INFINITY,
  ];
  return missed.reduce(
    (sum, one) => sum + (Number.isNaN(one) ? Number.POSITIVE_INFINITY : Math.max(0, one)),
    0,
  );
}

function nothingMeets(halves: readonly { scale: number; own: Half; missed: number }[]): ConfigError {
  const [nearest] = halves.toSorted((a, b) => (a.missed === b.missed ? 0 : a.missed - b.missed));
  const own = nearest?.own ?? { pairs: [], changes: [] };
  const { drift, tail } = damageOf(own);
  return new ConfigError(
    `no scale meets the bounds: the nearest is ${nearest?.scale}, with a chosen change of ${chosenOf(own).toFixed(4)}, drift ${drift.toFixed(4)} and tail ${tail.toFixed(4)}. Widen a bound, or give other scales.`,
  );
}

function chosenOf({ pairs }: Half): number {
  return mean(pairs.map(({ chosen }) => chosen));
}

function target({ chosen, rejected, margin }: PairChange, { max }: ScaleRule): number {
  if (max === "accuracy") return rightness(margin);
  return max === "chosen" ? chosen : chosen - rejected;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
