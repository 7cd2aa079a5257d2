/** REINFORCE with leave-one-out baselines: each completion's reward against the mean of its group's others. */
import { at } from "../../base/at.ts";
import { ops } from "../../torch/index.ts";
import { isZeroAdvantage, leaveOneOutAdvantages, normalised, rewardMetrics } from "../advantages.ts";
import { weightedByCompletion } from "../importance-sampling.ts";
import { klOfCompletion } from "../kl-estimators.ts";
import {
  type CompletionLogps,
  type CompletionObjective,
  type ObjectiveResult,
  type StepTotals,
  sumByCompletion,
} from "../objective.ts";
import {
  clipMetrics,
  clippedSurrogate,
  columnOf,
  logRatio,
  ofCounted,
  ratioMetrics,
} from "../policy-ratio.ts";
import { type PreparedRollout, referenceOf, type ScoredRollout } from "../rollout.ts";
import type { RlooOptions } from "./settings.ts";

/**
 * The RLOO objective over groups of completions, none of which need be complete in a micro-batch.
 *
 * Paper: Ahmadian et al. 2024, "Back to Basics: Revisiting REINFORCE Style Optimization for Learning from Human Feedback in LLMs",
 *   arXiv:2402.14740, Eq. (9), with R' = R − β Σ_t (old_t − ref_t) in the place of the reward:
 *   A_i = R'_i − mean of the others' R';   L = −(1/N) Σ_i min(ρ_i A_i, clip(ρ_i, 1 ± ε) A_i),   ρ = exp Σ_t (logp_t − old_t)
 * Differs: the clipped ratio of the completion stands for ∇ log π, with the same gradient at the first update, as in TRL.
 * Numerics: without `oldLogps` ρ is exactly 1. ρ multiplies the errors of all tokens, so in half precision later updates clip
 *   by rounding alone.
 */
export function rloo(options: RlooOptions): CompletionObjective {
  return {
    name: "rloo",
    over: "groups",
    mayCutGroups: true,
    columns: { advantages: "completion", oldLogps: "token?", importanceWeights: "token?" },
    usesReference: options.beta > 0,
    evaluate: (completions, totals) => evaluate(completions, totals, options),
    prepare: (rollout) => prepare(rollout, options),
    withoutGradient: isZeroAdvantage,
  };
}

function prepare(rollout: ScoredRollout, options: RlooOptions): PreparedRollout {
  const { beta, normalize_advantages, reward_clip_range } = options;
  const { rewards, groupSizes, policyLogps = rollout.samplerLogps, masked = [] } = rollout;
  const [low = Number.NEGATIVE_INFINITY, high = Number.POSITIVE_INFINITY] = reward_clip_range ?? [];
  const clipped = rewards.map((reward) => Math.min(Math.max(reward, low), high));
  const references = beta > 0 ? referenceOf(rollout, "beta") : null;
  // the tokens of a masked completion are in no KL, as in TRL
  const kls = policyLogps.map((logps, i) =>
    references === null || masked[i] === true ? 0 : klOfCompletion("k1", logps, at(references, i)),
  );
  const penalised = clipped.map((reward, i) => reward - beta * at(kls, i));
  const advantages = leaveOneOutAdvantages(penalised, groupSizes);
  const tokens = policyLogps.reduce((sum, logps, i) => sum + (masked[i] === true ? 0 : logps.length), 0);
  const kl = kls.reduce((sum, value) => sum + value, 0) / Math.max(1, tokens);
  return {
    columns: { advantages: normalize_advantages ? normalised(advantages, rewards) : advantages },
    metrics: { ...rewardMetrics(rollout), ...(references === null ? {} : { kl }) },
  };
}

function evaluate(
  completions: CompletionLogps,
  totals: StepTotals,
  { epsilon }: RlooOptions,
): ObjectiveResult {
  const bounds = { low: 1 - epsilon, high: 1 + epsilon };
  const ratio = ops.exp(sumByCompletion(logRatio(completions), completions));
  const advantages = columnOf(completions, "advantages");
  const plain = clippedSurrogate(ratio, advantages, { ...bounds, most: null });
  const gain = weightedByCompletion(plain, completions);
  const [counted = ratio, push = advantages] = ofCounted([ratio, advantages], completions);
  // a masked completion's ratio is 1 without any token
  const isThere = ops.to(ops.gt(completions.lengths, 0), ratio.dtype);
  return {
    loss: ops.mul(ops.sum(ops.mul(gain, isThere)), -1 / totals.completions),
    metrics: { ...ratioMetrics(counted), ...clipMetrics(null, counted, push, bounds) },
  };
}
