/** Builds what objectives take from plain lists of token log-probs, for tests. */
import type { AnswerLogps, BatchCounts, StepTotals } from "../../src/methods/objective.ts";
import { tensor } from "../../src/torch/index.ts";

/** Answers in the order given, float64, with a leaf that records gradients. */
export function answersOf(
  lists: readonly (readonly number[])[],
  reference: number[] | null = null,
): AnswerLogps {
  const flat = lists.flat();
  const logps = tensor(flat, [flat.length], { dtype: "float64" });
  logps.requiresGrad = true;
  return {
    logps,
    answer: tensor(
      lists.flatMap((list, i) => list.map(() => i)),
      [flat.length],
      { dtype: "int64" },
    ),
    lengths: tensor(
      lists.map((list) => list.length),
      [lists.length],
      { dtype: "float64" },
    ),
    reference: reference === null ? null : tensor(reference, [reference.length], { dtype: "float64" }),
  };
}

/** Pairs as the answers 2i and 2i + 1. */
export function pairsOf(
  chosen: readonly (readonly number[])[],
  rejected: readonly (readonly number[])[],
  reference: number[] | null = null,
): AnswerLogps {
  return answersOf(
    chosen.flatMap((c, i) => [c, rejected[i] ?? []]),
    reference,
  );
}

/** Totals of a step that consists of this one batch. */
export function totalsOf(
  chosen: readonly (readonly number[])[],
  rejected: readonly (readonly number[])[],
): StepTotals {
  const counts: BatchCounts = {
    examples: chosen.length,
    chosenTokens: chosen.flat().length,
    rejectedTokens: rejected.flat().length,
  };
  return { ...counts, micro: counts };
}
