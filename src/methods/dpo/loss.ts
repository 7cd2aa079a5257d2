/** Direct preference optimisation, and IPO as its squared variant. */

import { ShapeError } from "../../base/errors.ts";
import { ops, type Tensor } from "../../torch/index.ts";
import {
  byWeight,
  type ObjectiveResult,
  type PairLogps,
  type PairObjective,
  pairMetrics,
  type StepTotals,
} from "../objective.ts";
import type { DpoOptions } from "./settings.ts";

/**
 * The DPO objective over preference pairs.
 *
 * Paper: Rafailov et al. 2023, arXiv:2305.18290, Eq. (7)
 *   L = −log σ( β [(log π(y_w|x) − log ref(y_w|x)) − (log π(y_l|x) − log ref(y_l|x))] )
 * Paper: Azar et al. 2023, arXiv:2310.12036, Eq. (17), for `ipo`: L = (h − 1/(2β))², h as in the brackets above.
 * Differs: label smoothing is not in Eq. (7); 0 by default. IPO's h is taken per token (each completion's log-ratio divided
 *   by its length), as TRL does.
 * Numerics: sums over completion tokens; log σ by torch's `log_sigmoid`, never log(sigmoid).
 *
 * Metrics: `rewards/*` are β (log π − log ref), sums over tokens.
 */
export function dpo(options: DpoOptions): PairObjective {
  return {
    name: "dpo",
    over: "pairs",
    columns: { referenceLogps: "completion" },
    evaluate: (pairs, totals) => evaluate(pairs, totals, options),
  };
}

function evaluate(pairs: PairLogps, totals: StepTotals, options: DpoOptions): ObjectiveResult {
  const { referenceChosenLogps, referenceRejectedLogps } = pairs;
  if (referenceChosenLogps === null || referenceRejectedLogps === null) {
    throw new ShapeError("dpo needs reference log-probs of both completions and got none");
  }
  const chosenRatio = ops.sub(pairs.chosenLogps, referenceChosenLogps);
  const rejectedRatio = ops.sub(pairs.rejectedLogps, referenceRejectedLogps);
  const losses =
    options.loss_type === "sigmoid"
      ? sigmoidLosses(ops.mul(ops.sub(chosenRatio, rejectedRatio), options.beta), options.label_smoothing)
      : ipoLosses(
          ops.div(chosenRatio, pairs.chosenLengths),
          ops.div(rejectedRatio, pairs.rejectedLengths),
          options.beta,
        );
  const chosen = ops.mul(chosenRatio, options.beta);
  const rejected = ops.mul(rejectedRatio, options.beta);
  return {
    loss: ops.mul(ops.sum(byWeight(losses, pairs)), 1 / totals.groups),
    metrics: pairMetrics(pairs, chosen, rejected),
  };
}

/** −(1 − ε) log σ(z) − ε log σ(−z), per pair. Other methods have the form on other log-probs. */
export function sigmoidLosses(z: Tensor, labelSmoothing: number): Tensor {
  const right = ops.mul(ops.logSigmoid(z), -(1 - labelSmoothing));
  if (labelSmoothing === 0) return right;
  return ops.sub(right, ops.mul(ops.logSigmoid(ops.neg(z)), labelSmoothing));
}

function ipoLosses(chosen: Tensor, rejected: Tensor, beta: number): Tensor {
  return ops.pow(ops.sub(ops.sub(chosen, rejected), 1 / (2 * beta)), 2);
}
