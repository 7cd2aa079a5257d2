/** The loss of reward models: Bradley–Terry on the two scores of a pair. */
import { ops, type Tensor } from "../../torch/index.ts";
import {
  meanOf,
  type ObjectiveResult,
  type ScoreObjective,
  type ScorePairs,
  type StepTotals,
  shareOf,
} from "../objective.ts";
import type { RewardOptions } from "./settings.ts";

/**
 * −log σ(r_w − r_l − m), and `center_rewards_coefficient` (r_w + r_l)², means over the pairs of the step.
 *
 * Paper: Touvron et al. 2023, arXiv:2307.09288, Eq. (2), with the margin m of the row (0 where it has none);
 *   Bradley & Terry 1952 without it.
 * Paper: Eisenstein et al. 2023, arXiv:2312.09244, Eq. (2), for the second term.
 * Differs: `min_reward` and `max_reward` are of the whole step or evaluation; TRL's are means over its batches.
 * Numerics: log σ by torch's `log_sigmoid`.
 */
export function reward(options: RewardOptions): ScoreObjective {
  return {
    name: "reward",
    over: "scores",
    columns: { margin: "completion?" },
    evaluate: (pairs, totals) => evaluate(pairs, totals, options),
  };
}

function evaluate(
  { chosen, rejected, margin, scores }: ScorePairs,
  totals: StepTotals,
  { center_rewards_coefficient }: RewardOptions,
): ObjectiveResult {
  const gap = ops.sub(chosen, rejected);
  const ranking = ops.neg(ops.logSigmoid(margin === null ? gap : ops.sub(gap, margin)));
  const losses =
    center_rewards_coefficient === 0
      ? ranking
      : ops.add(ranking, centred(chosen, rejected, center_rewards_coefficient));
  const [least, most] = ops.aminmax(ops.detach(scores));
  return {
    loss: ops.mul(ops.sum(losses), 1 / totals.groups),
    metrics: {
      accuracy: shareOf(ops.gt(chosen, rejected)),
      margin: meanOf(gap),
      min_reward: { sum: least, count: 1, extreme: "min" },
      mean_reward: meanOf(scores),
      max_reward: { sum: most, count: 1, extreme: "max" },
    },
  };
}

function centred(chosen: Tensor, rejected: Tensor, coefficient: number): Tensor {
  return ops.mul(ops.pow(ops.add(chosen, rejected), 2), coefficient);
}
