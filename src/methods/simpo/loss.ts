/** Simple preference optimisation: DPO's shape on length-normalised log-probs, with a margin and no reference. */
import { ops } from "../../torch/index.ts";
import { sigmoidLosses } from "../dpo/loss.ts";
import {
  byWeight,
  type Metric,
  meanOf,
  type ObjectiveResult,
  type PairLogps,
  type PairObjective,
  pairMetrics,
  type StepTotals,
} from "../objective.ts";
import type { SimpoOptions } from "./settings.ts";

/**
 * The SimPO objective over preference pairs.
 *
 * Paper: Meng, Xia & Chen 2024, arXiv:2405.14734, Eq. (6)
 *   L = −log σ( β/|y_w| log π(y_w|x) − β/|y_l| log π(y_l|x) − γ )
 * Differs: label smoothing and `cpo_alpha` (the term of CPO-SimPO, arXiv:2401.08417) are not in Eq. (6); both 0 by default.
 *
 * Metrics: `rewards/*` are β times the mean token log-prob, as in TRL; `nll_loss` is the chosen completions' mean negative
 * log-likelihood per token when `cpo_alpha` is not 0.
 */
export function simpo(options: SimpoOptions): PairObjective {
  return {
    name: "simpo",
    over: "pairs",
    evaluate: (pairs, totals) => evaluate(pairs, totals, options),
  };
}

function evaluate(pairs: PairLogps, totals: StepTotals, options: SimpoOptions): ObjectiveResult {
  const margin = ops.sub(pairs.chosenMeanLogps, pairs.rejectedMeanLogps);
  const z = ops.sub(ops.mul(margin, options.beta), options.simpo_gamma);
  const losses = byWeight(sigmoidLosses(z, options.label_smoothing), pairs);
  const preference = ops.mul(ops.sum(losses), 1 / totals.groups);
  const metrics: Record<string, Metric> = pairMetrics(
    pairs,
    ops.mul(pairs.chosenMeanLogps, options.beta),
    ops.mul(pairs.rejectedMeanLogps, options.beta),
  );
  if (options.cpo_alpha === 0) return { loss: preference, metrics };
  const nll = ops.neg(ops.sum(pairs.chosenLogps));
  metrics["nll_loss"] = meanOf(nll, totals.micro.tokensByRole.chosen);
  return {
    loss: ops.add(preference, ops.mul(nll, options.cpo_alpha / totals.tokensByRole.chosen)),
    metrics,
  };
}
