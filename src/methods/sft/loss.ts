/** Supervised fine-tuning: the negative log-likelihood of the completions. */
import { ops } from "../../torch/index.ts";
import { type CompletionObjective, meanOf, sumByCompletion } from "../objective.ts";

/**
 * Mean negative log-likelihood over the completion tokens of the optimiser step.
 *
 * Paper: Radford & Narasimhan 2018, "Improving Language Understanding by Generative Pre-Training", Eq. (1), restricted to
 *   completion tokens: L = −(1/N) Σ_t log π(y_t | x, y_<t), N the completion tokens of the step.
 *
 * Metrics: `logps/chosen` is the mean over completions of summed log-probs, `logps/chosen_mean` of per-token means.
 */
export function sft(): CompletionObjective {
  return {
    name: "sft",
    over: "completions",
    evaluate(completions, totals) {
      const sums = sumByCompletion(completions.logps, completions);
      return {
        loss: ops.mul(ops.sum(completions.logps), -1 / totals.tokens),
        metrics: {
          "logps/chosen": meanOf(sums),
          "logps/chosen_mean": meanOf(ops.div(sums, completions.lengths)),
          "lengths/chosen": meanOf(completions.lengths),
        },
      };
    },
  };
}
