/** Rows of metrics and curves as they are sent to a page: JSON, in which numbers that are not finite stand as text. */
import type { PlacedRow } from "./live-run.ts";
import { type MeanState, RunningMean } from "./running-mean.ts";
import { type WireNumber, wireNumber } from "./wire-number.ts";

/** What a point can be drawn over: steps, passes over the data, input tokens, seconds of training and evaluations. */
export const places = ["step", "epoch", "tokens", "seconds"] as const;

/** Where a row or point stands. */
export type Places<T> = Readonly<Record<(typeof places)[number], T>>;

/** A row of metrics: where it stands, and its numbers by key. */
export interface WireRow extends Places<number> {
  values: Readonly<Record<string, WireNumber>>;
}

/** The points of a curve. */
export interface WireCurve extends Places<readonly number[]> {
  value: readonly WireNumber[];
  samples?: WireSamples;
}

/**
 * Points of a thinned curve that are taken at fixed places, whatever their values: means over extremes are not those of the curve, and
 * curves of other runs have points at the same places.
 */
export interface WireSamples {
  /** Which of the curve's points. */
  at: readonly number[];
  /** The running mean over all values up to each. */
  mean: readonly WireNumber[];
  /** What continues the mean. */
  state: MeanState;
}

/** A row as it is sent. */
export function wireRow({ row, ...place }: PlacedRow): WireRow {
  const numbers = Object.entries(row).filter(([, value]) => typeof value === "number");
  const values = Object.fromEntries(numbers.map(([key, value]) => [key, wireNumber(value as number)]));
  return { step: row.global_step, ...place, values };
}

/** Most points of a curve that is sent whole: more than a picture has pixels. */
const mostPoints = 2000;
/** Most buckets of one that is not. */
const mostBuckets = 1000;

/**
 * All curves of these rows by key. Of a long one the least, the greatest and the last value of each bucket are kept, and every value
 * that is not finite, so that no spike is lost; it is smoothed before.
 *
 * @param smoothing - of running means, from 0 up to below 1
 */
export function wireCurves(rows: readonly PlacedRow[], smoothing: number): Record<string, WireCurve> {
  const found = new Map<string, number[]>();
  rows.forEach(({ row }, i) => {
    for (const [key, value] of Object.entries(row)) {
      if (typeof value !== "number" || key === "global_step" || key === "epoch") continue;
      const known = found.get(key);
      if (known === undefined) found.set(key, [i]);
      else known.push(i);
    }
  });
  return Object.fromEntries(
    [...found].map(([key, at]) => [
      key,
      at.length <= mostPoints ? wireCurve(rows, key, at) : thinned(rows, { key, at, smoothing }),
    ]),
  );
}

function wireCurve(rows: readonly PlacedRow[], key: string, at: readonly number[]): WireCurve {
  const placed = at.flatMap((i) => rows[i] ?? []);
  return {
    step: placed.map(({ row }) => row.global_step),
    epoch: placed.map(({ epoch }) => epoch),
    tokens: placed.map(({ tokens }) => tokens),
    seconds: placed.map(({ seconds }) => seconds),
    value: placed.map(({ row }) => wireNumber(row[key] as number)),
  };
}

interface LongCurve {
  key: string;
  /** Its rows. */
  at: readonly number[];
  smoothing: number;
}

function thinned(rows: readonly PlacedRow[], { key, at, smoothing }: LongCurve): WireCurve {
  // a power of two: curves of other lengths have their samples at some of the same places
  const size = 2 ** Math.ceil(Math.log2(at.length / mostBuckets));
  const running = new RunningMean(smoothing);
  const kept: number[] = [];
  const samples: number[] = [];
  const mean: WireNumber[] = [];
  for (let from = 0; from < at.length; from += size) {
    const bucket = at.slice(from, from + size);
    const means = bucket.map((i) => running.add(rows[i]?.row[key] as number));
    kept.push(...extremes(rows, key, bucket));
    samples.push(kept.length - 1);
    mean.push(wireNumber(means.at(-1) ?? Number.NaN));
  }
  return { ...wireCurve(rows, key, kept), samples: { at: samples, mean, state: running.state } };
}

/** Of some rows the least and the greatest by a key, those that are not finite, and the last; in order. */
function extremes(rows: readonly PlacedRow[], key: string, at: readonly number[]): number[] {
  const numberAt = (i: number): number => rows[i]?.row[key] as number;
  const kept = new Set([...at.filter((i) => !Number.isFinite(numberAt(i))), ...at.slice(-1)]);
  const finite = at.filter((i) => Number.isFinite(numberAt(i)));
  const [first] = finite;
  if (first !== undefined) {
    kept.add(finite.reduce((best, i) => (numberAt(i) < numberAt(best) ? i : best), first));
    kept.add(finite.reduce((best, i) => (numberAt(i) > numberAt(best) ? i : best), first));
  }
  return [...kept].sort((a, b) => a - b);
}

/** All rows as CSV: where they stand, and these metrics, or all. */
export function wireCsv(rows: readonly PlacedRow[], keys: readonly string[]): string {
  const known = new Set(rows.flatMap(({ row }) => Object.keys(row)));
  known.delete("global_step");
  known.delete("epoch");
  const shown = keys.length === 0 ? [...known] : keys.filter((key) => known.has(key));
  const lines = rows
    .filter(({ row }) => shown.some((key) => key in row))
    .map(({ row, epoch, tokens, seconds }) =>
      [row.global_step, epoch, tokens, seconds, ...shown.map((key) => row[key] ?? "")].join(","),
    );
  // names are those of the metrics' table, but for reward functions, which a user names
  const names = shown.map((key) => (/[",\n]/.test(key) ? `"${key.replaceAll('"', '""')}"` : key));
  return `${["step", "epoch", "tokens", "seconds", ...names].join(",")}\n${lines.join("\n")}\n`;
}
