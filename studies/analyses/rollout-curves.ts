/** An on-policy run as a curve: what was measured at each of its evaluations, by held-out prompt. */
import { type MeasuredRun, trainingSeconds } from "preftune/sweep";

/** An evaluation. */
export interface CurvePoint {
  step: number;
  /** Of training until then, evaluations left out. */
  seconds: number;
  /** By metric, a value for each held-out prompt. */
  values: Readonly<Record<string, readonly number[]>>;
}

/** A place on a curve: `share` of the way from one of its points to the next. */
export interface CurvePlace {
  from: number;
  share: number;
}

/** The evaluations of an on-policy run in order. */
export function curveOf({
  evaluations,
  metrics,
}: Pick<MeasuredRun, "evaluations" | "metrics">): CurvePoint[] {
  return evaluations.flatMap(({ global_step: step, prompts }) => {
    if (prompts === undefined) return [];
    return [{ step, seconds: trainingSeconds(metrics, step) ?? 0, values: prompts }];
  });
}

/** The metric of a point: of `seconds` the one number there is. */
export function at(point: CurvePoint, metric: string): readonly number[] {
  return metric === "seconds" ? [point.seconds] : (point.values[metric] ?? []);
}

/** Where the metric's mean first reaches `level`; null if it never does. */
export function crossing(curve: readonly CurvePoint[], metric: string, level: number): CurvePlace | null {
  const means = curve.map((point) => meanOf(at(point, metric)));
  const first = means.findIndex((value) => value >= level);
  if (first < 0) return null;
  const [before = Number.NaN, after = Number.NaN] = means.slice(Math.max(0, first - 1), first + 1);
  if (first === 0) return { from: 0, share: 0 };
  return { from: first - 1, share: (level - before) / (after - before) };
}

/** The metric at a place, by prompt; NaN for all where there is no such place. */
export function valueAt(
  curve: readonly CurvePoint[],
  place: CurvePlace | null,
  metric: string,
): Float64Array {
  const from = curve[place?.from ?? 0]?.values[metric] ?? [];
  if (place === null) return new Float64Array(from.length).fill(Number.NaN);
  const to = curve[place.from + 1]?.values[metric] ?? from;
  return Float64Array.from(from, (value, i) => value + place.share * ((to[i] ?? Number.NaN) - value));
}

function meanOf(values: readonly number[]): number {
  const known = values.filter((value) => !Number.isNaN(value));
  return known.reduce((sum, value) => sum + value, 0) / known.length;
}
