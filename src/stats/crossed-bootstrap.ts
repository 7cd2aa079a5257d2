/**
 * Bootstrap intervals over two crossed sources of chance: the seeds a condition was trained with, and the held-out pairs
 * it was measured on. A statistic is asked with weights: how often each seed and each pair was drawn.
 */
import { Random } from "../base/random.ts";
import { quantile } from "./bootstrap.ts";
import { normalCdf, normalQuantile } from "./normal.ts";

/** A value with its interval and sample sizes. */
export interface Estimate {
  value: number;
  low: number;
  high: number;
  /** Training seeds. */
  seeds: number;
  /** Held-out pairs. */
  pairs: number;
  /** Prompts that they are of, where some are of one. */
  prompts?: number;
}

/** How often each seed and each pair counts; all 1 for the sample itself. */
export interface Weights {
  seeds: Float64Array;
  pairs: Float64Array;
}

/** A statistic of the weighted sample. */
export type WeightedStatistic = (weights: Weights) => number;

/** How intervals are made. */
export interface CrossedBootstrapOptions {
  /** Resamples. Default 1000. */
  draws?: number;
  /** Nominal coverage of the interval. Default 0.95. */
  level?: number;
  /** Decides the draws. Default 1. */
  seed?: number;
  /** Default "bca". */
  kind?: "percentile" | "bca";
  /** The number of each pair's prompt, one for each pair: pairs of one are drawn together. Default: each has its own. */
  prompts?: readonly number[] | undefined;
}

/**
 * The statistic with its interval.
 *
 * Paper: Owen 2007, arXiv:0712.1111 ("The pigeonhole bootstrap"): seeds and pairs are drawn independently, and every cell
 *   of the table counts as often as its seed times its pair was drawn.
 * Differs: n − 1 of n are drawn (Rao & Wu 1988, JASA 83:231), which makes the variance of a mean right where n is small;
 *   with all n drawn, three seeds would show two thirds of it.
 * `bca` corrects bias and skewness (Efron 1987, JASA 82:171), its acceleration from leaving out each pair and each seed.
 * With one seed only the pairs are drawn: the interval then says nothing of other seeds. Where pairs share prompts, prompts are drawn.
 */
export function bootstrap(
  statistic: WeightedStatistic,
  size: { seeds: number; pairs: number },
  { prompts, ...options }: CrossedBootstrapOptions = {},
): Estimate {
  const numbers = new Map([...new Set(prompts)].map((prompt, i) => [prompt, i]));
  if (prompts !== undefined && numbers.size < size.pairs) {
    const places = prompts.map((prompt) => numbers.get(prompt) ?? 0);
    const byPrompt: WeightedStatistic = ({ seeds, pairs }) =>
      statistic({ seeds, pairs: Float64Array.from(places, (place) => pairs[place] ?? 0) });
    const { seeds, pairs, ...interval } = bootstrap(byPrompt, { ...size, pairs: numbers.size }, options);
    return { ...interval, ...size, prompts: pairs };
  }
  const { draws = 1000, level = 0.95, seed = 1, kind = "bca" } = options;
  const value = statistic({ seeds: ones(size.seeds), pairs: ones(size.pairs) });
  const random = new Random(seed);
  const drawn: number[] = [];
  const weights = { seeds: ones(size.seeds), pairs: ones(size.pairs) };
  for (let i = 0; i < draws; i++) {
    draw(weights.seeds, random);
    draw(weights.pairs, random);
    const one = statistic(weights);
    // a resample in which the statistic does not exist says nothing
    if (!Number.isNaN(one)) drawn.push(one);
  }
  const sorted = Float64Array.from(drawn).sort();
  if (Number.isNaN(value) || sorted.length === 0)
    return { value, low: Number.NaN, high: Number.NaN, ...size };
  const tails = kind === "bca" ? bcaTails(sorted, value, acceleration(statistic, size), level) : plain(level);
  return { value, low: quantile(sorted, tails[0]), high: quantile(sorted, tails[1]), ...size };
}

function ones(count: number): Float64Array {
  return new Float64Array(count).fill(1);
}

/** Fills in how often each of n is drawn in n − 1 draws with replacement; a single one is always there. */
function draw(counts: Float64Array, random: Random): void {
  if (counts.length < 2) return;
  counts.fill(0);
  for (let i = 1; i < counts.length; i++) {
    const at = random.below(counts.length);
    counts[at] = (counts[at] ?? 0) + 1;
  }
}

function plain(level: number): [number, number] {
  return [(1 - level) / 2, (1 + level) / 2];
}

/** Where in the sorted resamples the corrected interval ends. */
function bcaTails(sorted: Float64Array, value: number, a: number, level: number): [number, number] {
  let below = 0;
  for (const one of sorted) below += one < value ? 1 : one === value ? 0.5 : 0;
  const share = below / sorted.length;
  // all resamples on one side: there is nothing to correct by
  if (share === 0 || share === 1) return plain(level);
  const bias = normalQuantile(share);
  const corrected = (p: number): number => {
    const z = bias + normalQuantile(p);
    return normalCdf(bias + z / (1 - a * z));
  };
  const [low, high] = plain(level);
  return [corrected(low), corrected(high)];
}

/** Σ d³ / (6 (Σ d²)^1.5) over the influences d of leaving out each pair and each seed; 0 where there are none. */
function acceleration(statistic: WeightedStatistic, size: { seeds: number; pairs: number }): number {
  let squares = 0;
  let cubes = 0;
  for (const side of ["pairs", "seeds"] as const) {
    const count = size[side];
    if (count < 2) continue;
    const weights = { seeds: ones(size.seeds), pairs: ones(size.pairs) };
    const without = Array.from({ length: count }, (_, i) => {
      weights[side][i] = 0;
      const left = statistic(weights);
      weights[side][i] = 1;
      return left;
    });
    const mean = without.reduce((sum, x) => sum + x, 0) / count;
    for (const left of without) {
      // the influence of one is its distance times n − 1: so the two sources weigh as they do in the variance
      const distance = ((count - 1) / count) * (mean - left);
      squares += distance ** 2;
      cubes += distance ** 3;
    }
  }
  const a = cubes / (6 * squares ** 1.5);
  return Number.isFinite(a) ? a : 0;
}
