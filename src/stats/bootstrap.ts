/** Confidence intervals: percentiles over resampled data (bootstrap), and Wilson's for proportions. */
import { Random } from "../base/random.ts";

/** A confidence interval of a statistic. NaN where it is not known. */
export interface Interval {
  low: number;
  high: number;
}

/** How data are resampled. */
export interface BootstrapOptions {
  /** Samples drawn; default 1000. */
  rounds?: number;
  /** Decides the draws; default 42. The same seed gives the same draws for data of the same size. */
  seed?: number;
  /** Fraction of samples inside the interval; default 0.95. */
  level?: number;
}

/**
 * The percentile interval of a statistic over `count` units (questions, pairs, prompts) drawn with replacement.
 *
 * Paper: Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13.
 *
 * Two statistics of the same units are compared by a statistic that takes their difference: both see the same draws, so what
 * the units share cancels out (paired bootstrap).
 *
 * @param statistic - gets the drawn indices, each in [0, count), in an array that the next draw overwrites, and gives the
 *   value; draws that give NaN are left out
 */
export function bootstrapInterval(
  count: number,
  statistic: (draw: Int32Array) => number,
  options: BootstrapOptions = {},
): Interval {
  const values: number[] = [];
  for (const draw of bootstrapDraws(count, options)) values.push(statistic(draw));
  return percentileInterval(values, options.level);
}

/**
 * Samples of `count` units with replacement, for statistics of several numbers; their intervals are those of
 * {@link percentileInterval}. None where there are no units.
 *
 * @returns indices in [0, count), in one array that the next sample overwrites
 */
export function* bootstrapDraws(count: number, options: BootstrapOptions = {}): Generator<Int32Array> {
  const { rounds = 1000, seed = 42 } = options;
  if (count === 0) return;
  const random = new Random(seed);
  const draw = new Int32Array(count);
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < count; i++) draw[i] = random.below(count);
    yield draw;
  }
}

/**
 * The value below which a share `p` (0 to 1) of `sorted` lies, interpolated linearly between neighbours as numpy's percentile
 * does; NaN for no values.
 *
 * @param sorted - ascending
 */
export function quantile(sorted: ArrayLike<number>, p: number): number {
  const place = Math.min(1, Math.max(0, p)) * (sorted.length - 1);
  const below = sorted[Math.floor(place)] ?? Number.NaN;
  const above = sorted[Math.ceil(place)] ?? Number.NaN;
  // Equal neighbours may be infinite.
  return below === above ? below : below + (above - below) * (place - Math.floor(place));
}

/** The middle `level` of `values`, NaN left out. */
export function percentileInterval(values: readonly number[], level = 0.95): Interval {
  const sorted = Float64Array.from(values.filter((value) => !Number.isNaN(value))).sort();
  return { low: quantile(sorted, (1 - level) / 2), high: quantile(sorted, (1 + level) / 2) };
}

/** Standard normal deviate with 97.5 % of the distribution below it. */
const z95 = 1.959963984540054;

/**
 * The 95 % interval of a proportion of independent trials. Unlike percentiles it has a width where the proportion is 0 or 1.
 *
 * Paper: Wilson 1927, Probable inference, the law of succession, and statistical inference.
 *   (p + z²/2n ± z sqrt( p(1-p)/n + z²/4n² )) / (1 + z²/n)
 */
export function shareInterval(hits: number, trials: number): Interval {
  if (trials === 0) return { low: Number.NaN, high: Number.NaN };
  const share = hits / trials;
  const z2 = z95 * z95;
  const centre = share + z2 / (2 * trials);
  const reach = z95 * Math.sqrt((share * (1 - share)) / trials + z2 / (4 * trials * trials));
  const scale = 1 + z2 / trials;
  return { low: Math.max(0, (centre - reach) / scale), high: Math.min(1, (centre + reach) / scale) };
}

/**
 * The interval of a mean of values in `range` where all that were drawn are `value`, and no resample differs: of all values at least
 * as many are this one as Clopper and Pearson's lower end of `count` of `count` says, and the rest is anything in the range.
 *
 * Paper: Clopper and Pearson 1934, The use of confidence or fiducial limits: (α/2)^(1/n) where all n succeed.
 */
export function alikeInterval(
  value: number,
  count: number,
  { level = 0.95 }: BootstrapOptions = {},
  range: Interval = { low: 0, high: 1 },
): Interval {
  const alike = ((1 - level) / 2) ** (1 / count);
  const mean = (rest: number): number => alike * value + (1 - alike) * rest;
  return { low: mean(range.low), high: mean(range.high) };
}
