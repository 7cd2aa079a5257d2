/** Builds what objectives take from plain lists of token log-probs, for tests. */
import type { BatchCounts, CompletionLogps, StepTotals } from "../../src/methods/objective.ts";
import { tensor } from "../../src/torch/index.ts";

/** A list of token log-probs for each completion. */
type Lists = readonly (readonly number[])[];

/** Completions in the order given, in groups of `groupSize`, float64, with a leaf that records gradients. */
export function completionsOf(
  lists: Lists,
  reference: number[] | null = null,
  groupSize = 1,
): CompletionLogps {
  const flat = lists.flat();
  const float64 = (values: readonly number[]) => tensor(values, [values.length], { dtype: "float64" });
  const logps = float64(flat);
  logps.requiresGrad = true;
  return {
    logps,
    completion: tensor(
      lists.flatMap((list, i) => list.map(() => i)),
      [flat.length],
      { dtype: "int64" },
    ),
    lengths: float64(lists.map((list) => list.length)),
    groupSizes: Array.from({ length: lists.length / groupSize }, () => groupSize),
    columns: reference === null ? {} : { referenceLogps: float64(reference) },
  };
}

/** The same completions with the start's log-probs of their tokens, in one list, and for each pair an anchor's weight. */
export function withStart(
  completions: CompletionLogps,
  tokens: readonly number[],
  weights: readonly number[] | null = null,
): CompletionLogps {
  const float64 = (values: readonly number[]) => tensor(values, [values.length], { dtype: "float64" });
  const columns = {
    ...completions.columns,
    referenceTokenLogps: float64(tokens),
    ...(weights === null ? {} : { lambda_w: float64(weights.flatMap((weight) => [weight, weight])) }),
  };
  return { ...completions, columns };
}

/** Pairs as the completions 2i and 2i + 1. */
export function pairsOf(chosen: Lists, rejected: Lists, reference: number[] | null = null): CompletionLogps {
  return completionsOf(
    chosen.flatMap((c, i) => [c, rejected[i] ?? []]),
    reference,
    2,
  );
}

/** Totals of a step that consists of this one batch of pairs. */
export function totalsOf(chosen: Lists, rejected: Lists): StepTotals {
  return asStep({
    groups: chosen.length,
    completions: chosen.length + rejected.length,
    tokens: chosen.flat().length + rejected.flat().length,
    tokensByRole: { chosen: chosen.flat().length, rejected: rejected.flat().length, completion: 0 },
  });
}

/** Totals of a step that consists of this one batch of single completions. */
export function totalsOfCompletions(lists: Lists): StepTotals {
  const tokens = lists.flat().length;
  const tokensByRole = { chosen: 0, rejected: 0, completion: tokens };
  return asStep({ groups: lists.length, completions: lists.length, tokens, tokensByRole });
}

function asStep(counts: BatchCounts): StepTotals {
  return { ...counts, micro: counts };
}
