/** Conditions on the held-out pairs that the runs of all of them have. */
import type { MeasuredCondition } from "./measured.ts";
import type { Measured } from "./section.ts";
import { onSharedPairs } from "./shared-pairs.ts";
import { pairName } from "./trial.ts";

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
