/** Which scale to take, by a rule: chosen on one half of the held-out pairs and measured on the other. */
import { at } from "../base/at.ts";
import { ConfigError } from "../base/errors.ts";
import type { Example } from "../data/example.ts";
import { promptKeyOf } from "../data/fingerprint.ts";
import type { ScaleBound, ScaleChoice, ScaleEstimate, ScaleRule } from "../runs/scale-record.ts";
import { bootstrapInterval, type Interval, shareInterval } from "../stats/bootstrap.ts";
import { groupMeans, meanInterval } from "../stats/mean-interval.ts";
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
  /** The prompt of each pair: pairs of one prompt are no independent draws. */
  prompts: readonly string[];
}

/** Held-out pairs that a choice needs, how many each half needs of them, and of how many prompts. */
const leastPairs = 30;
const leastOfHalf = 10;
const leastPrompts = 2;

/**
 * The halves of some pairs. All pairs of one prompt are in one half; prompts come in the order of their hashes, each into the smaller half.
 *
 * @throws {ConfigError} for fewer than 30 pairs, where one prompt has so many that a half is left with fewer than 10, and where a half has
 * one prompt alone
 */
export function halvesOf(examples: readonly Example[]): Halves {
  const { length } = examples;
  if (length < leastPairs) {
    throw new ConfigError(
      `a scale is chosen on one half of the held-out pairs and measured on the other: expected at least ${leastPairs} pairs, got ${length}. Hold out more rows (eval_data, eval_fraction).`,
    );
  }
  const prompts = examples.map(promptKeyOf);
  const byPrompt = Map.groupBy(examples.keys(), (row) => at(prompts, row));
  const [choosing, reporting] = [new Set<number>(), new Set<number>()];
  for (const [, rows] of [...byPrompt].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const half = reporting.size < choosing.size ? reporting : choosing;
    for (const row of rows) half.add(row);
  }
  const halves = { choosing, reporting, prompts };
  const least = Math.min(choosing.size, reporting.size);
  const fewest = Math.min(promptsOf(choosing, prompts), promptsOf(reporting, prompts));
  if (least >= leastOfHalf && fewest >= leastPrompts) return halves;
  throw new ConfigError(
    `a scale is chosen on one half of the held-out pairs and measured on the other, and pairs of one prompt stay together: the ${length} pairs have ${byPrompt.size} different prompts, and one half would have ${least} pairs, and one ${fewest} prompts, expected at least ${leastOfHalf} and ${leastPrompts}. Hold out pairs of more prompts.`,
  );
}

/** Different prompts of some pairs. */
function promptsOf(rows: ReadonlySet<number>, prompts: readonly string[]): number {
  return new Set([...rows].map((row) => prompts[row])).size;
}

/**
 * The scale that the rule picks on the choosing half, its figures on the reporting one: the smallest that no other is better than beyond
 * chance, by the paired interval of what is to be large. Means and intervals are over prompts, a prompt's pairs
 * averaged first: pairs that share a prompt are alike, and as many draws they would make an interval too narrow.
 *
 * @throws {ConfigError} if no scale meets the bounds, naming the nearest
 */
export function chosenScale(
  scales: readonly MeasuredScale[],
  rule: ScaleRule,
  { choosing, reporting, prompts }: Halves,
): ScaleChoice {
  const halves = scales
    .map((one) => {
      const own = only(one, choosing, prompts);
      const missed = shortfall(own, rule);
      const gains = byPrompt(own, (pair) => target(pair, rule));
      return { scale: one.scale, own, missed, gains, other: only(one, reporting, prompts) };
    })
    .sort((a, b) => a.scale - b.scale);
  const allowed = halves.filter(({ missed }) => missed === 0);
  if (allowed.length === 0) throw nothingMeets(halves);
  const best = allowed.reduce((a, b) => (mean(b.gains) > mean(a.gains) ? b : a));
  const kept = allowed.find((one) => !allowed.some(({ gains }) => isSurelyMore(gains, one.gains))) ?? best;
  const { drift, tail } = damageOf(kept.other);
  return {
    rule,
    scale: kept.scale,
    best: best.scale,
    allowed: allowed.map(({ scale }) => scale),
    isUndecided: kept === allowed[0] && allowed.length > 1,
    choosing: choosing.size,
    reporting: reporting.size,
    prompts: { choosing: promptsOf(choosing, prompts), reporting: promptsOf(reporting, prompts) },
    bounds: boundsOf(kept.other, rule).map(({ name, bound, missed }) => ({ name, bound, held: missed <= 0 })),
    figures: {
      chosen: estimated(byPrompt(kept.other, ({ chosen }) => chosen)),
      margin: estimated(byPrompt(kept.other, ({ chosen, rejected }) => chosen - rejected)),
      accuracy: shareOf(byPrompt(kept.other, ({ margin }) => rightness(margin))),
      ...{ drift, tail, drift_interval: driftInterval(kept.other) },
    },
  };
}

/** Whether gains of the same prompts are larger beyond chance, by the paired 95 % interval. */
function isSurelyMore(gains: readonly number[], others: readonly number[]): boolean {
  return gains !== others && meanInterval(gains.map((gain, i) => gain - at(others, i))).low > 0;
}

interface Half {
  pairs: readonly PairChange[];
  changes: readonly CompletionChange[];
  /** The prompt of each pair, and of any row. */
  prompts: readonly unknown[];
  promptOf: (row: number) => unknown;
}

function only(
  { pairs, changes }: MeasuredScale,
  rows: ReadonlySet<number>,
  prompts: readonly string[],
): Half {
  return {
    pairs: pairs.filter((_, row) => rows.has(row)),
    changes: changes.filter(({ row }) => rows.has(row)),
    prompts: prompts.filter((_, row) => rows.has(row)),
    promptOf: (row) => prompts[row],
  };
}

/** The mean over each prompt's pairs. */
function byPrompt({ pairs, prompts }: Half, value: (pair: PairChange) => number): number[] {
  return groupMeans(pairs.map(value), prompts);
}

function estimated(values: readonly number[]): ScaleEstimate {
  const { mean: value, low, high } = meanInterval(values);
  return { value, low, high };
}

/** A share with Wilson's interval, which stays between 0 and 1; where a prompt's value lies between the two, it is too wide at most. */
function shareOf(values: readonly number[]): ScaleEstimate {
  const hits = values.reduce((sum, value) => sum + value, 0);
  return { value: hits / values.length, ...shareInterval(hits, values.length) };
}

/** The drift's interval, prompts drawn with all their tokens; NaN where a token's change is no finite number. */
function driftInterval({ changes, promptOf }: Half): Interval {
  const sums = new Map<unknown, { sum: number; tokens: number }>();
  for (const { row, role, changes: moved } of changes) {
    if (role !== "chosen") continue;
    const { sum, tokens } = sums.get(promptOf(row)) ?? { sum: 0, tokens: 0 };
    const own = moved.reduce((all, change) => all + Math.abs(change), 0);
    sums.set(promptOf(row), { sum: sum + own, tokens: tokens + moved.length });
  }
  const all = [...sums.values()];
  return bootstrapInterval(all.length, (draw) => {
    let [sum, tokens] = [0, 0];
    for (const i of draw) {
      sum += at(all, i).sum;
      tokens += at(all, i).tokens;
    }
    return Number.isFinite(sum) ? sum / tokens : Number.NaN;
  });
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

/** Each bound of the rule, and by how much it is missed, nats: above 0, or no number, where it is. */
function boundsOf(
  half: Half,
  { chosen_min = null, drift_max = null, tail_min = null }: ScaleRule,
): { name: ScaleBound["name"]; bound: number; missed: number }[] {
  const { drift, tail } = damageOf(half);
  const all = [
    { name: "chosen_min", bound: chosen_min, missed: (chosen_min ?? 0) - chosenOf(half) },
    { name: "drift_max", bound: drift_max, missed: drift - (drift_max ?? 0) },
    { name: "tail_min", bound: tail_min, missed: (tail_min ?? 0) - tail },
  ] as const;
  return all.flatMap(({ bound, ...one }) => (bound === null ? [] : [{ ...one, bound }]));
}

/** By how much the bounds are missed, nats in all; 0 where they are met. What is no number misses its bound by all there is. */
function shortfall(half: Half, rule: ScaleRule): number {
  const missed = boundsOf(half, rule).map((one) => one.missed);
  // without any bound too a ruined model is none to choose
  const isRuined = !half.pairs.every((pair) => Object.values(pair).every(Number.isFinite));
  return [...missed, isRuined ? Number.POSITIVE_INFINITY : 0].reduce(
    (sum, one) => sum + (Number.isNaN(one) ? Number.POSITIVE_INFINITY : Math.max(0, one)),
    0,
  );
}

function nothingMeets(halves: readonly { scale: number; own: Half; missed: number }[]): ConfigError {
  const [nearest] = halves.toSorted((a, b) => (a.missed === b.missed ? 0 : a.missed - b.missed));
  if (nearest === undefined) return new ConfigError("no scale was given to choose among.");
  const { own } = nearest;
  const { drift, tail } = damageOf(own);
  return new ConfigError(
    `no scale meets the bounds: the nearest is ${nearest.scale}, with a chosen change of ${chosenOf(own).toFixed(4)}, drift ${drift.toFixed(4)} and tail ${tail.toFixed(4)}. Widen a bound, or give other scales.`,
  );
}

function chosenOf(half: Half): number {
  return mean(byPrompt(half, ({ chosen }) => chosen));
}

function target({ chosen, rejected, margin }: PairChange, { max }: ScaleRule): number {
  if (max === "accuracy") return rightness(margin);
  return max === "chosen" ? chosen : chosen - rejected;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
