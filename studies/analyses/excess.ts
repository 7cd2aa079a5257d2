/**
 * How far methods lie above or below the curve of likelihood against margin that swept baselines draw, set by set of training rows
 * and learning rate by learning rate. Numbers in, numbers out.
 */
import { studentInterval, studentQuantile } from "preftune/sweep";

/** Where a run ended, as means over the held-out pairs. */
export interface Point {
  /** The training set, which all that is paired shares. */
  set: number;
  name: string;
  learningRate: number;
  /** Change of the chosen log-prob, nats per token. */
  chosen: number;
  /** Change of the margin, nats per token. */
  margin: number;
  /** Mean absolute change of a chosen token's log-prob, and the 1 % quantile of these changes, nats. */
  drift: number;
  tail: number;
  /** Mean change of the other text's log-probs, nats per token; NaN where none was measured. */
  otherText: number;
}

/** What is compared at an equal change of chosen. */
export type Compared = "margin" | "drift" | "tail";

/** A mean over training sets with its interval by Student's t; ends that are NaN with fewer than two sets. */
export interface SetMean {
  sets: number;
  mean: number;
  low: number;
  high: number;
  /** The smallest true mean that would have been seen, its interval without 0, in four of five such studies. */
  smallest: number;
}

/** Mean, 95 % interval and power over sets. */
export function overSets(values: readonly number[]): SetMean {
  const sets = values.length;
  const interval = studentInterval(values);
  const quantile = (p: number): number => studentQuantile(p, sets - 1);
  // half of the interval is the 0.975 quantile times the mean's standard error
  const smallest = (interval.high - interval.mean) * (1 + quantile(0.8) / quantile(0.975));
  return { sets, ...interval, smallest };
}

/** How the curve is read at a method's change of chosen. */
export type Reading = "set by set" | "neighbours";

/** Below this range of chosen, nats per token, between the outermost baselines' means, the curve is short. */
const shortest = 0.15;
/** Beyond this many nats of margin per nat of chosen it is steep. */
const steepest = 1;

/**
 * `neighbours` where the curve is short or steep: a set's own interpolation would then divide by differences of the size of the noise. The two
 * baselines next to the method in their means over sets stand in, weighed alike in all sets, with one slope for all.
 */
export function readingOf(baselines: readonly Point[]): Reading {
  const means = meansOf(baselines);
  const [first, last] = [means[0], means.at(-1)];
  if (first === undefined || last === undefined) return "neighbours";
  const range = last.chosen - first.chosen;
  const slope = Math.abs((last.margin - first.margin) / range);
  return range < shortest || slope > steepest ? "neighbours" : "set by set";
}

/**
 * By how much `method` is above the curve in each set, at its own change of chosen. A set in which it lies beyond the curve's ends
 * is left out. A baseline is held against the others.
 *
 * @param method - one point for each set
 * @param baselines - of the same learning rate
 */
export function excessOf(
  method: readonly Point[],
  baselines: readonly Point[],
  what: Compared,
  reading: Reading = readingOf(baselines),
): number[] {
  const others = baselines.filter(({ name }) => name !== method[0]?.name);
  if (reading === "neighbours") return byNeighbours(method, others, what);
  return method.flatMap((point) => {
    const curve = others.filter(({ set }) => set === point.set).sort((a, b) => a.chosen - b.chosen);
    const at = interpolated(curve, point.chosen, what);
    return at === null ? [] : [point[what] - at];
  });
}

/** Between the two points next to `chosen`; null beyond the ends. */
function interpolated(curve: readonly Point[], chosen: number, what: Compared): number | null {
  const next = curve.findIndex((point) => point.chosen >= chosen);
  const [low, high] = [curve[next - 1], curve[next]];
  if (high?.chosen === chosen) return high[what];
  if (low === undefined || high === undefined) return null;
  const share = (chosen - low.chosen) / (high.chosen - low.chosen);
  return (1 - share) * low[what] + share * high[what];
}

function byNeighbours(method: readonly Point[], others: readonly Point[], what: Compared): number[] {
  const ofSets = new Set(method.map(({ set }) => set));
  const shared = others.filter(({ set }) => ofSets.has(set));
  // a baseline that lacks a set would shift the means
  const whole = meansOf(shared).filter(({ points }) => points.length === ofSets.size);
  const [own] = meansOf(method);
  if (own === undefined) return [];
  const next = whole.findIndex(({ chosen }) => chosen >= own.chosen);
  const [low, high] = [whole[next - 1], whole[next]];
  if (low === undefined || high === undefined) return [];
  const share = (own.chosen - low.chosen) / (high.chosen - low.chosen);
  const slope = (high[what] - low[what]) / (high.chosen - low.chosen);
  return method.flatMap((point) => {
    const [a, b] = [low, high].map(({ points }) => points.find(({ set }) => set === point.set));
    if (a === undefined || b === undefined) return [];
    const mixed = (key: Compared | "chosen"): number => (1 - share) * a[key] + share * b[key];
    return [point[what] - mixed(what) - slope * (point.chosen - mixed("chosen"))];
  });
}

/** A name's means over its sets. */
interface NameMeans extends Record<Compared | "chosen", number> {
  points: readonly Point[];
}

/** By name, in the order of their change of chosen. */
function meansOf(points: readonly Point[]): NameMeans[] {
  const mean = (all: readonly Point[], key: Compared | "chosen"): number =>
    all.reduce((sum, point) => sum + point[key], 0) / all.length;
  return [...Map.groupBy(points, ({ name }) => name).values()]
    .map((own) => ({
      points: own,
      chosen: mean(own, "chosen"),
      margin: mean(own, "margin"),
      drift: mean(own, "drift"),
      tail: mean(own, "tail"),
    }))
    .sort((a, b) => a.chosen - b.chosen);
}

/** Nats of margin that a nat of chosen costs along the points of one set: the least squares slope, negated. NaN for fewer than two. */
export function tradeOf(points: readonly Pick<Point, "chosen" | "margin">[]): number {
  const mean = (key: "chosen" | "margin"): number =>
    points.reduce((sum, point) => sum + point[key], 0) / points.length;
  const [x, y] = [mean("chosen"), mean("margin")];
  const along = points.reduce((sum, { chosen, margin }) => sum + (chosen - x) * (margin - y), 0);
  return -along / points.reduce((sum, { chosen }) => sum + (chosen - x) ** 2, 0);
}
