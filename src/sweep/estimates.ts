/** Metrics of a condition, or of the difference between two, with their intervals. */
import { at } from "../base/at.ts";
import { alikeInterval } from "../stats/bootstrap.ts";
import {
  bootstrap,
  type CrossedBootstrapOptions,
  type Estimate,
  type WeightedStatistic,
} from "../stats/crossed-bootstrap.ts";
import { chiSquareQuantile } from "../stats/normal.ts";

/** A value for each seed (row) and held-out pair (column); the same pairs in each row, or none. NaN where there is none. */
export type PairTable = readonly Float64Array[];

/** Options of {@link meanInterval}. */
export interface MeanOptions extends CrossedBootstrapOptions {
  /** The values are 0 to 1. Where all are alike no resample differs: the interval is then Clopper and Pearson's, one-sided at 0 and 1. */
  isShare?: boolean;
  /** The values of a seed are one figure, the same for each of its pairs: from fewer than two seeds there is no interval. */
  isOfRun?: boolean;
  /** How much each pair counts, by its number of tokens, say. Default: all alike. */
  counts?: Float64Array | undefined;
}

/** The mean over all seeds and pairs. */
export function meanInterval(table: PairTable, options: MeanOptions = {}): Estimate {
  const size = sizeOf(table);
  const { counts } = options;
  const mean: WeightedStatistic = ({ seeds, pairs }) =>
    weightedMean(table, seeds, counts === undefined ? pairs : pairs.map((w, i) => w * (counts[i] ?? 0)));
  const interval = bootstrap(mean, size, options);
  const { value, low, high } = interval;
  const independent = independentOf(table, options.prompts);
  const isEnd = value === 0 || value === 1;
  const isAlike = options.isShare === true && low === high && (isEnd || independent > 1);
  const isOne = table.filter((row) => !row.every(Number.isNaN)).length < 2;
  if (isOne && (options.isOfRun === true || (independent < 2 && !isAlike)))
    return { ...interval, low: Number.NaN, high: Number.NaN };
  if (!isAlike) return interval;
  // prompts alone are independent: seeds that agree on all of them add no more of them
  const { level = 0.95 } = options;
  return { ...interval, ...alikeInterval(value, independent, { level: isEnd ? 2 * level - 1 : level }) };
}

/** How many of the pairs, or of their prompts, have a value in some row. */
function independentOf(table: PairTable, prompts: readonly number[] | undefined): number {
  const pairs = Array.from({ length: sizeOf(table).pairs }, (_, i) => i);
  const known = pairs.filter((i) => table.some((row) => !Number.isNaN(row[i] ?? Number.NaN)));
  return new Set(known.map((i) => prompts?.[i] ?? i)).size;
}

/** The mean of all values; NaN where one is. */
export function plainMean(table: PairTable): number {
  const values = table.flatMap((row) => [...row]);
  return values.reduce((a, b) => a + b, 0) / values.length;
}

/**
 * The pairs of every other prompt: one half to choose by, the other to judge the choice by.
 *
 * @param prompts - the number of each pair's prompt, counted from 0; left out: each pair has its own
 */
export function half(table: PairTable, parity: 0 | 1, prompts?: readonly number[]): PairTable {
  return table.map((row) => row.filter((_, i) => (prompts?.[i] ?? i) % 2 === parity));
}

/**
 * The mean of `table` less that of `base`, pair by pair and seed by seed: both must have been measured on the same. No number where
 * they have different counts of pairs.
 */
export function differenceInterval(table: PairTable, base: PairTable, options: MeanOptions = {}): Estimate {
  const difference = table.map((row, s) => {
    const other = base[s];
    return other?.length === row.length ? row.map((x, i) => x - at(other, i)) : row.map(() => Number.NaN);
  });
  return meanInterval(difference, options);
}

/**
 * A quantile over all values of all pairs: of the log-probs of rejected tokens, say. Pairs are drawn with all they have.
 *
 * @param values - by seed, by pair
 */
export function quantileInterval(
  values: readonly (readonly ArrayLike<number>[])[],
  p: number,
  options: CrossedBootstrapOptions = {},
): Estimate {
  const size = { seeds: values.length, pairs: values[0]?.length ?? 0 };
  const all = values.flatMap((pairs, seed) =>
    pairs.flatMap((own, pair) => Array.from(own, (value) => ({ value, seed, pair }))),
  );
  all.sort((a, b) => a.value - b.value);
  return bootstrap(({ seeds, pairs }) => weightedQuantile(all, p, { seeds, pairs }), size, options);
}

/**
 * The standard deviation between seeds, with the interval of normal theory: s √((n − 1)/χ²).
 *
 * @param means - one for each seed
 * @param pairs - how many pairs each is a mean of, for the report
 */
export function spreadInterval(means: readonly number[], pairs: number, level: number = 0.95): Estimate {
  const n = means.length;
  const mean = means.reduce((a, b) => a + b, 0) / n;
  const squares = means.reduce((sum, x) => sum + (x - mean) ** 2, 0);
  const known = { seeds: n, pairs };
  if (n < 2) return { value: Number.NaN, low: Number.NaN, high: Number.NaN, ...known };
  const at = (p: number): number => Math.sqrt(squares / chiSquareQuantile(p, n - 1));
  return {
    value: Math.sqrt(squares / (n - 1)),
    low: at((1 + level) / 2),
    high: at((1 - level) / 2),
    ...known,
  };
}

function sizeOf(table: PairTable): { seeds: number; pairs: number } {
  return { seeds: table.length, pairs: Math.max(0, ...table.map((row) => row.length)) };
}

function weightedMean(table: PairTable, seeds: Float64Array, pairs: Float64Array): number {
  let sum = 0;
  let weight = 0;
  for (let s = 0; s < table.length; s++) {
    const row = table[s] as Float64Array;
    const ofSeed = seeds[s] as number;
    if (ofSeed === 0) continue;
    for (let i = 0; i < row.length; i++) {
      const value = row[i] as number;
      const w = ofSeed * (pairs[i] as number);
      if (w === 0 || Number.isNaN(value)) continue;
      sum += w * value;
      weight += w;
    }
  }
  return sum / weight;
}

/** A value of a seed and a pair. */
interface PairValue {
  value: number;
  seed: number;
  pair: number;
}

/** The least value at or below which a fraction `p` of the weight lies. */
function weightedQuantile(
  sorted: readonly PairValue[],
  p: number,
  { seeds, pairs }: { seeds: Float64Array; pairs: Float64Array },
): number {
  let total = 0;
  for (const { seed, pair } of sorted) total += (seeds[seed] as number) * (pairs[pair] as number);
  let below = 0;
  for (const { value, seed, pair } of sorted) {
    below += (seeds[seed] as number) * (pairs[pair] as number);
    if (below > 0 && below >= p * total) return value;
  }
  return Number.NaN;
}
