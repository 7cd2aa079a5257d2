/** The curves of a run in the page: points by key, to which new rows are added, and what a chart draws of them. */
import { RunningMean } from "../running-mean.ts";
import type { Places, WireCurve, WireRow, WireSamples } from "../wire.ts";
import type { WireNumber } from "../wire-number.ts";

/** What charts can be drawn over. `pairs` needs to know how many rows an epoch has. */
export type Over = keyof Places<unknown> | "pairs";

/** One curve. */
export interface Curve extends Places<number[]> {
  value: number[];
  /** Of a thinned one. */
  samples?: Samples;
}

/** Points of a thinned curve at fixed places, with the running mean there. */
export interface Samples {
  at: number[];
  mean: number[];
  /** What continues the mean. */
  running?: RunningMean;
}

/** The curves of a run by key of the metric. */
export type Curves = Map<string, Curve>;

/** The curves that the server sent. @param smoothing - what it was asked for */
export function curvesOf(sent: Readonly<Record<string, WireCurve>>, smoothing: number): Curves {
  return new Map(
    Object.entries(sent).map(([key, { step, epoch, tokens, seconds, value, samples }]) => [
      key,
      {
        ...{ step: [...step], epoch: [...epoch], tokens: [...tokens], seconds: [...seconds] },
        value: value.map(numberOf),
        ...(samples && { samples: samplesOf(samples, smoothing) }),
      },
    ]),
  );
}

function samplesOf({ at, mean, state }: WireSamples, smoothing: number): Samples {
  return { at: [...at], mean: mean.map(numberOf), running: new RunningMean(smoothing, state) };
}

/** Adds new rows to the curves. */
export function addRows(curves: Curves, rows: readonly WireRow[]): void {
  for (const { values, step, epoch, tokens, seconds } of rows) {
    for (const [key, value] of Object.entries(values)) {
      if (key === "global_step" || key === "epoch") continue;
      const curve = curves.get(key) ?? { step: [], epoch: [], tokens: [], seconds: [], value: [] };
      curves.set(key, curve);
      curve.step.push(step);
      curve.epoch.push(epoch);
      curve.tokens.push(tokens);
      curve.seconds.push(seconds);
      curve.value.push(numberOf(value));
      addSample(curve);
    }
  }
}

/** The last point of a thinned curve is one of its samples. */
function addSample({ value, samples }: Curve): void {
  const last = value.at(-1);
  if (samples?.running === undefined || last === undefined) return;
  samples.at.push(value.length - 1);
  samples.mean.push(samples.running.add(last));
}

function numberOf(value: WireNumber): number {
  return Number(value);
}

/** How curves are drawn. */
export interface Drawing {
  over: Over;
  /** Rows of an epoch, where they are known. */
  epochRows: number | null;
  /** 0: not at all; towards 1: each point is mostly those before it. */
  smoothing: number;
}

/** [x, y] of a curve as it is drawn over. */
export function pointsOver(curve: Curve, { over, epochRows }: Drawing): { x: number[]; y: number[] } {
  const x = over === "pairs" ? curve.epoch.map((epoch) => Math.round(epoch * (epochRows ?? 0))) : curve[over];
  return { x, y: curve.value };
}

/** Whether several curves are one. */
export function areSame(lines: readonly { curve: Curve }[]): boolean {
  const [first, ...others] = lines;
  if (first === undefined || others.length === 0) return false;
  const { step, value } = first.curve;
  return others.every(
    ({ curve }) =>
      curve.value.length === value.length &&
      curve.value.every((one, i) => Object.is(one, value[i]) && curve.step[i] === step[i]),
  );
}

/** What curves reach over together; 0 to 1 where there are none. */
export function extentOf(curves: Iterable<Curve>, drawing: Drawing): { min: number; max: number } {
  let [min, max] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const curve of curves) {
    const { x } = pointsOver(curve, drawing);
    min = Math.min(min, x[0] ?? min);
    max = Math.max(max, x.at(-1) ?? max);
  }
  return min < max ? { min, max } : { min: 0, max: 1 };
}

/** [x, y] of a curve's running mean: of a thinned one, that which was taken over all its values. */
export function smoothOver(curve: Curve, drawing: Drawing): { x: number[]; y: number[] } {
  const { x, y } = pointsOver(curve, drawing);
  const { samples } = curve;
  if (samples === undefined) return { x, y: smoothed(y, drawing.smoothing) };
  return { x: samples.at.map((i) => x[i] ?? Number.NaN), y: samples.mean };
}

/** The running means of values. @param smoothing - the weight of what came before, from 0 up to below 1 */
export function smoothed(values: readonly number[], smoothing: number): number[] {
  const running = new RunningMean(smoothing);
  return values.map((value) => running.add(value));
}

/** A curve in another unit. */
export function scaled(curve: Curve, by: number): Curve {
  const times = (values: readonly number[]): number[] => values.map((value) => by * value);
  const { samples, value } = curve;
  return {
    ...{ ...curve, value: times(value) },
    ...(samples && { samples: { ...samples, mean: times(samples.mean) } }),
  };
}

/** Curves of different x on common ones: [x, y of the first, y of the second, …]; null where a curve has no point. */
export function aligned(
  curves: readonly { x: readonly number[]; y: readonly number[] }[],
): [number[], ...(number | null)[][]] {
  const all = [...new Set(curves.flatMap(({ x }) => x))].sort((a, b) => a - b);
  const place = new Map(all.map((x, i) => [x, i]));
  const ys = curves.map(({ x, y }) => {
    const row: (number | null)[] = new Array(all.length).fill(null);
    x.forEach((one, i) => {
      const value = y[i];
      const at = place.get(one);
      if (at !== undefined && value !== undefined && Number.isFinite(value)) row[at] = value;
    });
    return row;
  });
  return [all, ...ys];
}
