/** Likelihood displacement: what training does to the log-probs of chosen and rejected completions alike. */
import type { CompletionValues } from "../data/completion-values.ts";

/**
 * Likelihood displacement: how the completions' mean token log-probs moved since `before`, on the same rows.
 *
 * `frac_chosen_down` is the fraction of pairs whose chosen completion lost likelihood, `frac_both_down` and `frac_both_up` of
 * those where both moved one way. Pairs that are missing in either are left out; no pairs, no metrics.
 */
export function displacement(before: CompletionValues, now: CompletionValues): Record<string, number> {
  const pairs = pairChanges(before, now);
  if (pairs.length === 0) return {};
  const average = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  const share = (test: (pair: { chosen: number; rejected: number }) => boolean) =>
    pairs.filter(test).length / pairs.length;
  const chosenOnly: Record<string, number> = {
    "logps/chosen_delta_init": average(pairs.map((p) => p.chosen)),
    "displacement/frac_chosen_down": share((p) => p.chosen < 0),
  };
  if (pairs.some((p) => Number.isNaN(p.rejected))) return chosenOnly;
  return {
    ...chosenOnly,
    "logps/rejected_delta_init": average(pairs.map((p) => p.rejected)),
    "displacement/frac_both_down": share((p) => p.chosen < 0 && p.rejected < 0),
    "displacement/frac_both_up": share((p) => p.chosen > 0 && p.rejected > 0),
  };
}

/** Change of the mean token log-prob of each pair's completions; `rejected` is NaN for rows without one. */
export function pairChanges(
  before: CompletionValues,
  now: CompletionValues,
): { chosen: number; rejected: number }[] {
  const out: { chosen: number; rejected: number }[] = [];
  for (let row = 0; row < Math.min(before.rows, now.rows); row++) {
    const [chosenBefore = Number.NaN, rejectedBefore = Number.NaN] = before.of(row);
    const [chosenNow = Number.NaN, rejectedNow = Number.NaN] = now.of(row);
    const chosen = chosenNow - chosenBefore;
    if (!Number.isNaN(chosen)) out.push({ chosen, rejected: rejectedNow - rejectedBefore });
  }
  return out;
}
