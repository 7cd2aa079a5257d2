/** Held-out pairs that several runs have in common: keys such as max_length and eval_data decide which pairs a run is measured on. */
import type { MeasuredCondition, MeasuredRun } from "./measured.ts";
import type { Measured } from "./section.ts";
import { type HeldOutPair, pairName } from "./trial.ts";

/** The runs with only those pairs that all of them have, in the first's order; runs that have the same ones stay as they are. */
export function onSharedPairs(runs: readonly MeasuredRun[]): readonly MeasuredRun[] {
  const names = runs.map(({ after }) => after.map(pairName));
  const [first = [], ...others] = names;
  if (others.every((own) => own.length === first.length && own.every((name, i) => name === first[i])))
    return runs;
  const places = names.map((own) => new Map(own.map((name, i) => [name, i])));
  const shared = [...new Set(first)].filter((name) => places.every((own) => own.has(name)));
  return runs.map((run, r) => {
    const pick = (pairs: readonly HeldOutPair[]): HeldOutPair[] =>
      shared.flatMap((name) => pairs[places[r]?.get(name) ?? -1] ?? []);
    return { ...run, before: pick(run.before), after: pick(run.after) };
  });
}

/** The prompt of each pair that `runs` have, by number, as the first says that knows; undefined where none does. */
export function promptsOf(runs: readonly Pick<MeasuredRun, "after">[]): number[] | undefined {
  return runs
    .map(({ after }) => after.flatMap(({ prompt }) => prompt ?? []))
    .find((prompts, r) => prompts.length > 0 && prompts.length === runs[r]?.after.length);
}

/** Conditions on the pairs that all of their runs have. */
export interface SharedConditions {
  measured: Measured;
  /** How many pairs they have in common, and how many some run has. */
  shared: number;
  all: number;
}

/** The conditions on the pairs that the runs of all have: only so can their figures be ranked. */
export function sharedConditions(measured: Measured): SharedConditions {
  const runs = [...measured.values()].flatMap((condition) => condition.runs);
  const shared = onSharedPairs(runs);
  const own = new Map(runs.map((run, i) => [run, shared[i] ?? run]));
  const restricted = ([name, condition]: [string, MeasuredCondition]): [string, MeasuredCondition] => [
    name,
    { ...condition, runs: condition.runs.map((run) => own.get(run) ?? run) },
  ];
  return {
    measured: shared === runs ? measured : new Map([...measured].map(restricted)),
    shared: shared[0]?.after.length ?? 0,
    all: new Set(runs.flatMap(({ after }) => after.map(pairName))).size,
  };
}
