/** Pairs as rows of one answer each: the chosen one labelled good, the rejected one bad. */
import type { Example } from "./example.ts";

/** Rows in each run of which the good answers are put first, as TRL's `unpair_preference_dataset` maps a set. */
const runLength = 2000;

/** The two rows that a pair makes; a row of one answer is itself. */
export function unpaired({ completions, ...row }: Example): Example[] {
  if (row.label !== undefined || completions.length !== 2) return [{ ...row, completions }];
  return completions.map((completion, i) => ({ ...row, completions: [completion], label: i === 0 }));
}

/** `examples`, in runs of 2,000 the good answers first: the two answers of a pair would else stand side by side. */
export function goodFirst(examples: readonly Example[]): Example[] {
  const sorted: Example[] = [];
  for (let start = 0; start < examples.length; start += runLength) {
    const run = examples.slice(start, start + runLength);
    sorted.push(...run.filter(({ label }) => label === true), ...run.filter(({ label }) => label !== true));
  }
  return sorted;
}
