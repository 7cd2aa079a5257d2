/** Supervised fine-tuning: the negative log-likelihood of the answers. */
import { ops } from "../../torch/index.ts";
import { type AnswerObjective, meanOf, sumByAnswer } from "../objective.ts";

/**
 * Mean negative log-likelihood over the completion tokens of the optimiser step.
 *
 * Paper: Radford & Narasimhan 2018, "Improving Language Understanding by Generative Pre-Training", Eq. (1), restricted to
 *   completion tokens: L = −(1/N) Σ_t log π(y_t | x, y_<t), N the completion tokens of the step.
 *
 * Metrics: `logps/chosen` is the mean over answers of summed log-probs, `logps/chosen_mean` of per-token means.
 */
export function sft(): AnswerObjective {
  return {
    name: "sft",
    over: "completions",
    needsReference: false,
    evaluate(answers, totals) {
      const sums = sumByAnswer(answers.logps, answers);
      return {
        loss: ops.mul(ops.sum(answers.logps), -1 / totals.chosenTokens),
        metrics: {
          "logps/chosen": meanOf(sums),
          "logps/chosen_mean": meanOf(ops.div(sums, answers.lengths)),
          "lengths/chosen": meanOf(answers.lengths),
        },
      };
    },
  };
}
