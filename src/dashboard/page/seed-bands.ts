/** Runs that differ in their seeds alone, as one line with a band around it. */
import type { Summary } from "../run-summary.ts";
import type { WireNumber } from "../wire-number.ts";
import type { Curve } from "./curves.ts";

/** Runs of one configuration, or a single run. */
export interface Fold<T> {
  name: string;
  runs: readonly T[];
}

/** Runs in groups of one configuration, in the order of the first of each; or each by itself. */
export function foldsOf<T extends { summary: Pick<Summary, "id" | "name" | "setting"> }>(
  runs: readonly T[],
  isFolded: boolean,
): Fold<T>[] {
  const groups = Map.groupBy(runs, ({ summary: { id, setting } }) =>
    isFolded && setting !== "" ? setting : `run ${id}`,
  );
  return [...groups.values()].map((some) => ({
    name: nameOf(some.map(({ summary }) => summary.name)),
    runs: some,
  }));
}

/** What the names begin with alike: "dpo-s1" and "dpo-s2" are "dpo, 2 seeds". */
function nameOf(names: readonly string[]): string {
  const [first = ""] = names;
  if (names.length === 1) return first;
  const end = [...first].findIndex((_, i) => names.some((name) => !name.startsWith(first.slice(0, i + 1))));
  const alike = (end < 0 ? first : first.slice(0, end)).replace(
    /[\s_.-]*((?<![a-z])s|seed)?[\s_.-]*\d*$/i,
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

/** The band of curves at the steps that all of them have: over fewer, the mean would jump where one begins or ends. */
export function bandOf(curves: readonly Curve[]): Band {
  const at = curves.map(({ step }) => new Map(step.map((one, i) => [one, i])));
  const band: Band = {
    curve: { step: [], epoch: [], tokens: [], seconds: [], value: [] },
    ...{ low: [], high: [] },
  };
  for (const step of new Set(curves[0]?.step)) {
    const places = at.map((one) => one.get(step));
    if (places.includes(undefined)) continue;
    const of = (key: keyof Curve): number[] =>
      curves.map((curve, n) => curve[key][places[n] ?? 0] ?? Number.NaN);
    for (const key of ["step", "epoch", "tokens", "seconds", "value"] as const)
      band.curve[key].push(mean(of(key)));
    band.low.push(Math.min(...of("value")));
    band.high.push(Math.max(...of("value")));
  }
  return band;
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
