/** DPO-Positive: DPO with a penalty inside the logistic function while the chosen completion is less likely than at the start. */

import { ops } from "../../torch/index.ts";
import { logRatios, sigmoidLosses } from "../dpo/loss.ts";
import { byWeight, meanOf, type PairObjective, pairMetrics, shareOf } from "../objective.ts";
import type { DpopOptions } from "./settings.ts";

/**
 * The DPOP objective over preference pairs.
 *
 * Paper: Pal et al. 2024, "Smaug: Fixing Failure Modes of Preference Optimisation with DPO-Positive", arXiv:2402.13228, Eq. (3)
 *   L = −log σ( β [(c − r) − λ max(0, −c)] ),  c = log π(y_w|x) − log ref(y_w|x), r the same of y_l
 * Numerics: as DPO; where c is exactly 0 the penalty has no gradient.
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
      const penalty = ops.relu(ops.neg(chosen));
      const z = ops.mul(ops.sub(difference, ops.mul(penalty, dpop_lambda)), beta);
      return {
        loss: ops.mul(ops.sum(byWeight(sigmoidLosses(z, 0), pairs)), 1 / totals.groups),
        metrics: {
          ...pairMetrics(pairs, ops.mul(chosen, beta), ops.mul(rejected, beta)),
          "dpop/penalty": meanOf(penalty),
          "dpop/frac_penalised": shareOf(ops.lt(chosen, 0)),
        },
      };
    },
  };
}
