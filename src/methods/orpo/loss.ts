/** Odds ratio preference optimisation: the chosen completions' likelihood, and how much better their odds are than the rejected ones'. */
import { ShapeError } from "../../base/errors.ts";
import { ops, type Tensor } from "../../torch/index.ts";
import { sigmoidLosses } from "../dpo/loss.ts";
import {
  byWeight,
  meanOf,
  type PairLogps,
  type PairObjective,
  pairMetrics,
  type StepTotals,
} from "../objective.ts";
import type { OrpoOptions } from "./settings.ts";

/**
 * The ORPO objective over preference pairs.
 *
 * Paper: Hong, Lee & Thorne 2024, "ORPO: Monolithic Preference Optimization without Reference Model", arXiv:2403.07691, Eq. (6)
 *   L = NLL(y_w) + λ · −log σ( log odds(y_w|x) − log odds(y_l|x) ),  odds(y|x) = P / (1 − P),  log P = (1/|y|) Σ_t log π(y_t)
 * Differs: NLL is a mean over the tokens of the optimiser step. With `nll_over: prompt_and_answer` it counts the prompt's tokens
 *   but the first too, as TRL does.
 * Numerics: log(1 − e^x) by log(−expm1(x)) above −ln 2 and log1p(−e^x) below.
 *
 * Metrics: `rewards/*` are β times the mean token log-prob; `log_odds_ratio` is the mean of log σ, `log_odds_chosen` of its argument.
 */
export function orpo(options: OrpoOptions): PairObjective {
  const { beta, nll_over } = options;
  return {
    name: "orpo",
    over: "pairs",
    takesPrompts: nll_over === "prompt_and_answer",
    evaluate(pairs, totals) {
      const { chosenMeanLogps: chosen, rejectedMeanLogps: rejected } = pairs;
      const odds = ops.sub(logOdds(chosen), logOdds(rejected));
      const losses = sigmoidLosses(odds, 0);
      const nll = likelihood(pairs, totals, options);
      const preference = ops.mul(ops.sum(byWeight(losses, pairs)), beta / totals.groups);
      return {
        loss: ops.add(ops.mul(nll.sum, 1 / nll.step), preference),
        metrics: {
          ...pairMetrics(pairs, ops.mul(chosen, beta), ops.mul(rejected, beta)),
          nll_loss: meanOf(nll.sum, nll.micro),
          log_odds_ratio: meanOf(ops.neg(losses)),
          log_odds_chosen: meanOf(odds),
        },
      };
    },
  };
}

/** log(P / (1 − P)) of x = log P < 0. */
function logOdds(x: Tensor): Tensor {
  return ops.sub(x, log1mexp(x));
}

/** log(1 − e^x) for x < 0: whichever way is exact; the other is kept away from what it has no gradient for. */
function log1mexp(x: Tensor): Tensor {
  const isNear = ops.gt(x, -Math.LN2);
  const near = ops.log(ops.neg(ops.expm1(ops.maskedFill(x, ops.logicalNot(isNear), -1))));
  const far = ops.log1p(ops.neg(ops.exp(ops.maskedFill(x, isNear, -1))));
  return ops.where(isNear, near, far);
}

/** −Σ log π over the tokens of the likelihood term, and how many there are in the step and at hand. */
function likelihood(
  pairs: PairLogps,
  totals: StepTotals,
  { nll_over }: OrpoOptions,
): { sum: Tensor; step: number; micro: number } {
  const sum = ops.neg(ops.sum(pairs.chosenLogps));
  const [step, micro] = [totals.tokensByRole.chosen, totals.micro.tokensByRole.chosen];
  if (nll_over === "answer") return { sum, step, micro };
  if (pairs.promptLogps === null) {
    throw new ShapeError("nll_over: prompt_and_answer needs log-probs of the prompts' tokens and got none");
  }
  return {
    sum: ops.sub(sum, ops.sum(pairs.promptLogps)),
    step: step + (totals.promptTokens ?? 0),
    micro: micro + pairs.promptLogps.numel,
  };
}
