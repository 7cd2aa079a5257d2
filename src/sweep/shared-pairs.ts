/** Held-out pairs that several runs have in common: keys such as max_length and eval_data decide which pairs a run is measured on. */
import { type HeldOutPair, pairName } from "./trial.ts";

/** A run by its pairs. */
interface ScoredRun {
  before: readonly HeldOutPair[];
  after: readonly HeldOutPair[];
}

/** The runs with only those pairs that all of them have, in the first's order; runs that have the same ones stay as they are. */
export function onSharedPairs<Run extends ScoredRun>(runs: readonly Run[]): readonly Run[] {
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
export function promptsOf(runs: readonly Pick<ScoredRun, "after">[]): number[] | undefined {
  return runs
    .map(({ after }) => after.flatMap(({ prompt }) => prompt ?? []))
    .find((prompts, r) => prompts.length > 0 && prompts.length === runs[r]?.after.length);
}
