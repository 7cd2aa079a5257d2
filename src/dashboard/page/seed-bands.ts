/** Runs that differ in their seeds alone, as one line with a band around it. */
import { differentNames } from "../../report/different-names.ts";
import type { Summary } from "../run-summary.ts";
import type { WireNumber } from "../wire-number.ts";
import { type Curve, type Samples, smoothed } from "./curves.ts";

/** Runs of one configuration, or a single run. */
export interface Fold<T> {
  name: string;
  runs: readonly T[];
}

/** Runs in groups of one configuration, in the order of the first of each; or each by itself. */
export function foldsOf<T extends { summary: Pick<Summary, "id" | "name" | "setting" | "folder"> }>(
  runs: readonly T[],
  isFolded: boolean,
): Fold<T>[] {
  const groups = Map.groupBy(runs, ({ summary: { id, setting } }) =>
    isFolded && setting !== "" ? setting : `run ${id}`,
  );
  const all = [...groups.values()];
  const names = all.map((some) => nameOf(some.map(({ summary }) => summary.name)));
  const ownNames = differentNames(
    runs.map(({ summary }) => summary.name),
    runs.map(({ summary }) => summary.folder),
  );
  const ownOf = new Map(runs.map((run, i) => [run, ownNames[i] ?? ""]));
  return all.map((some, i) => {
    const name = names[i] ?? "";
    const isOwn = names.indexOf(name) === names.lastIndexOf(name);
    return { name: isOwn ? name : nameOf(some.map((run) => ownOf.get(run) ?? "")), runs: some };
  });
}

/** The name of a group's line. @param count - of the runs that are in it: those that have this metric */
export function lineName({ name, runs }: Fold<unknown>, count: number): string {
  return count === runs.length ? name : `${name} (values of ${count})`;
}

/** What the names begin with alike: "dpo-s1" and "dpo-s2" are "dpo, 2 seeds". */
function nameOf(names: readonly string[]): string {
  const [first = ""] = names;
  if (names.length === 1) return first;
  const end = [...first].findIndex((_, i) => names.some((name) => !name.startsWith(first.slice(0, i + 1))));
  const alike = (end < 0 ? first : first.slice(0, end)).replace(
    /[\s_./-]*((?<![a-z])s|seed)?[\s_.-]*\d*$/i,
    "",
  );
  return `${alike === "" ? first : alike}, ${names.length} seeds`;
}

/** The mean of curves with the least and greatest value at each step. */
export interface Band {
  curve: Curve;
  low: number[];
  high: number[];
}

/**
 * The band of curves at the steps that all of them have: over fewer, the mean would jump where one begins or ends. Of thinned curves
 * these are their samples; the least and greatest are of all values since the last one.
 */
export function bandOf(curves: readonly Curve[], smoothing: number): Band {
  const isThinned = curves.some(({ samples }) => samples !== undefined);
  const all = curves.map((curve) => sampled(curve, isThinned ? smoothing : 0));
  const band: Band = {
    curve: { step: [], epoch: [], tokens: [], seconds: [], value: [] },
    ...{ low: [], high: [] },
  };
  const means: number[] = [];
  const steps = all[0]?.places.keys() ?? [];
  for (const step of steps) {
    const places = all.flatMap(({ places: one }) => one.get(step) ?? []);
    if (places.length < all.length) continue;
    const of = (key: (typeof keys)[number]): number[] =>
      all.map(({ curve, at }, n) => curve[key][at[places[n] ?? 0] ?? 0] ?? Number.NaN);
    for (const key of keys) band.curve[key].push(mean(of(key)));
    means.push(mean(all.map((one, n) => one.mean[places[n] ?? 0] ?? Number.NaN)));
    const values = all.flatMap((one, n) => valuesUpTo(one, places[n] ?? 0));
    band.low.push(Math.min(...values));
    band.high.push(Math.max(...values));
  }
  if (isThinned) band.curve.samples = { at: means.map((_, i) => i), mean: means };
  return band;
}

const keys = ["step", "epoch", "tokens", "seconds", "value"] as const;

/** A curve with the points of it that a band may have. */
interface Sampled extends Samples {
  curve: Curve;
  /** Samples by step. */
  places: ReadonlyMap<number, number>;
  /** The point after the last one that the band has. */
  next: number;
}

function sampled(curve: Curve, smoothing: number): Sampled {
  const at = curve.samples?.at ?? curve.value.map((_, i) => i);
  const means = curve.samples?.mean ?? smoothed(curve.value, smoothing);
  const places = new Map(at.map((point, place) => [curve.step[point] ?? Number.NaN, place]));
  return { ...{ curve, at, mean: means, places }, next: 0 };
}

/** The value of a sample; of a thinned curve, all that are finite since the one before. */
function valuesUpTo(one: Sampled, place: number): number[] {
  const { curve, at, next } = one;
  const point = at[place] ?? 0;
  one.next = point + 1;
  return curve.samples === undefined
    ? curve.value.slice(point, point + 1)
    : curve.value.slice(next, point + 1).filter(Number.isFinite);
}

/** The mean of the figures of a group with their least and greatest; a single one is itself. Null where one has none. */
export function rangeOf(
  values: readonly (WireNumber | null)[],
): { mean: number; low: number; high: number } | null {
  const numbers = values.map((value) => (value === null ? Number.NaN : Number(value)));
  if (values.includes(null) || numbers.length === 0) return null;
  return { mean: mean(numbers), low: Math.min(...numbers), high: Math.max(...numbers) };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
