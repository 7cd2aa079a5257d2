/** Contrastive preference optimisation: DPO's form without a reference, and a likelihood term on the chosen completions. */
import { ops, type Tensor } from "../../torch/index.ts";
import { sigmoidLosses } from "../dpo/loss.ts";
import { byWeight, meanOf, type PairLogps, type PairObjective, pairMetrics } from "../objective.ts";
import type { CpoOptions } from "./settings.ts";

/**
 * The CPO objective over preference pairs.
 *
 * Paper: Xu et al. 2024, "Contrastive Preference Optimization", arXiv:2401.08417, Eq. (4) and (5)
 *   L = −log σ( β [log π(y_w|x) − log π(y_l|x)] ) + α (1/N_w) Σ_t −log π(y_w,t),  N_w the chosen tokens of the optimiser step
 * Differs: label smoothing and the forms `hinge` and `ipo` (on means per token) are TRL's. The paper writes its likelihood term
 *   as a sum over tokens; here, as in TRL, it is a mean over tokens, of the step and not of the micro-batch.
 *
 * Metrics: `rewards/*` are β log π; `nll_loss` is the likelihood term before its weight, where that is not 0.
 */
export function cpo(options: CpoOptions): PairObjective {
  const { beta, cpo_alpha } = options;
  return {
    name: "cpo",
    over: "pairs",
    evaluate(pairs, totals) {
      const [chosen, rejected] = logpsOf(pairs, options);
      const losses = byWeight(lossesOf(ops.sub(chosen, rejected), options), pairs);
      const preference = ops.mul(ops.sum(losses), 1 / totals.groups);
      const metrics = pairMetrics(pairs, ops.mul(chosen, beta), ops.mul(rejected, beta));
      if (cpo_alpha === 0) return { loss: preference, metrics };
      const nll = ops.neg(ops.sum(pairs.chosenLogps));
      return {
        loss: ops.add(preference, ops.mul(nll, cpo_alpha / totals.tokensByRole.chosen)),
        metrics: { ...metrics, nll_loss: meanOf(nll, totals.micro.tokensByRole.chosen) },
      };
    },
  };
}

function logpsOf(pairs: PairLogps, { loss_type }: CpoOptions): [Tensor, Tensor] {
  return loss_type === "ipo"
    ? [pairs.chosenMeanLogps, pairs.rejectedMeanLogps]
    : [pairs.chosenLogps, pairs.rejectedLogps];
}

/** Loss of each pair, (P), of the difference of its log-probs. */
function lossesOf(difference: Tensor, { loss_type, beta, label_smoothing }: CpoOptions): Tensor {
  if (loss_type === "sigmoid") return sigmoidLosses(ops.mul(difference, beta), label_smoothing);
  if (loss_type === "hinge") return ops.relu(ops.sub(1, ops.mul(difference, beta)));
  return ops.pow(ops.sub(difference, 1 / (2 * beta)), 2);
}
