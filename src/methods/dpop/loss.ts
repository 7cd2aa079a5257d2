/** DPO-Positive: DPO with a penalty inside the logistic function while the chosen completion is less likely than at the start. */

import { ops, type Tensor } from "../../torch/index.ts";
import { logRatios, sigmoidLosses } from "../dpo/loss.ts";
import { byWeight, meanOf, type PairLogps, type PairObjective, pairMetrics, shareOf } from "../objective.ts";
import type { DpopOptions } from "./settings.ts";

/**
 * The DPOP objective over preference pairs.
 *
 * Paper: Pal et al. 2024, "Smaug: Fixing Failure Modes of Preference Optimisation with DPO-Positive", arXiv:2402.13228, Eq. (3)
 *   L = −log σ( β [(c − r) − λ max(0, −c)] ),  c = log π(y_w|x) − log ref(y_w|x), r the same of y_l
 * Numerics: as DPO. At the first step c is 0 but for the rounding of two passes, whose sign would decide whether a gradient of
 * λ times the rest is there: below 1e-5 of the log-prob c counts as 0, where the penalty has no gradient.
 *
 * Metrics: `rewards/*` are β (log π − log ref), without the penalty.
 */
export function dpop({ beta, dpop_lambda }: DpopOptions): PairObjective {
  return {
    name: "dpop",
    over: "pairs",
    columns: { referenceLogps: "completion" },
    evaluate(pairs, totals) {
      const { chosen, rejected, difference } = logRatios("dpop", pairs);
      const isLess = ops.lt(chosen, roundingOf(pairs));
      const penalty = ops.mul(ops.relu(ops.neg(chosen)), isLess);
      const z = ops.mul(ops.sub(difference, ops.mul(penalty, dpop_lambda)), beta);
      return {
        loss: ops.mul(ops.sum(byWeight(sigmoidLosses(z, 0), pairs)), 1 / totals.groups),
        metrics: {
          ...pairMetrics(pairs, ops.mul(chosen, beta), ops.mul(rejected, beta)),
          "dpop/penalty": meanOf(penalty),
          "dpop/frac_penalised": shareOf(isLess),
        },
      };
    },
  };
}

/** (P) What log-ratios of chosen completions may be by rounding alone, nats, below 0: several times what float32 passes differ by. */
function roundingOf({ chosenLogps }: PairLogps): Tensor {
  return ops.mul(ops.abs(ops.detach(chosenLogps)), -1e-5);
}
