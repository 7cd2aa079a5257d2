/** Group relative policy optimisation and its relatives: a clipped policy gradient on advantages within a prompt's group. */
import { ShapeError } from "../../base/errors.ts";
import { ops, type Tensor } from "../../torch/index.ts";
import { groupAdvantages, isZeroAdvantage, rewardMetrics } from "../advantages.ts";
import { weighted } from "../importance-sampling.ts";
import {
  type CompletionLogps,
  type CompletionNumbers,
  type CompletionObjective,
  type Metric,
  meanOf,
  type ObjectiveResult,
  type StepTotals,
  sumByCompletion,
} from "../objective.ts";
import {
  byToken,
  clipMetrics,
  clippedSurrogate,
  columnOf,
  klEstimates,
  logRatio,
  ofCounted,
  ratioMetrics,
  safeLengths,
} from "../policy-ratio.ts";
import { type PreparedRollout, referenceOf, type ScoredRollout } from "../rollout.ts";
import type { GrpoOptions } from "./settings.ts";

/**
 * The GRPO family over groups of completions, none of which need be complete in a micro-batch.
 *
 * Paper: Shao et al. 2024, "DeepSeekMath", arXiv:2402.03300, Eq. (3) and (4); with r_t = π / π_old of token t (or of its
 *   completion), A the advantage of its completion:
 *   ℓ_t = −min(r_t A, clip(r_t, 1 − ε, 1 + ε_high) A) + β k_t,   k_t = r_t (e^(ref − logp) − (ref − logp) − 1)
 *   cispo: −sg(min(r_t, ε_high)) A logp_t (arXiv:2506.13585); sapo: −(4/τ) σ(τ (r_t − 1)) A (arXiv:2511.20347).
 *   Over the N completions and T tokens of the optimiser step, L the longest length (`max_completion_length`):
 *   grpo, sapo: (1/N) Σ_i mean_t ℓ; dapo, cispo (arXiv:2503.14476): (1/T) Σ ℓ; dr_grpo (arXiv:2503.20783): (1/(N L)) Σ ℓ;
 *   luspo (arXiv:2602.05261): (1/N) Σ ℓ; bnpo: (1/T) Σ ℓ of each micro-batch, the mean of these.
 *   With `entropy_coef` c the loss is less c · the mean entropy of the T tokens, whatever the type.
 * Differs: k_t has the factor r_t unless `use_bias_correction_kl` is false, and β is 0 by default, as in TRL.
 *   TRL's bonus is a mean over each micro-batch.
 * Numerics: without `oldLogps` the ratio is exactly 1. A masked completion has no tokens: it counts in N alone.
 */
export function grpo(options: GrpoOptions): CompletionObjective {
  return {
    name: "grpo",
    over: "groups",
    mayCutGroups: true,
    takesEntropies: options.entropy_coef !== 0,
    columns: {
      advantages: "completion",
      oldLogps: "token?",
      importanceWeights: "token?",
      ...(options.beta > 0 ? { referenceTokenLogps: "token" } : {}),
      ...(options.loss_type === "dr_grpo" ? { maxLengths: "completion" } : {}),
    },
    counts: ({ columns }) => counts(columns, options),
    needsWholeMicroBatch: options.loss_type === "bnpo",
    evaluate: (completions, totals) => evaluate(completions, totals, options),
    prepare: (rollout) => prepare(rollout, options),
    // a KL and a bonus push all tokens; the mean over a micro-batch depends on which others are in it
    ...(options.beta > 0 || options.entropy_coef !== 0 || options.loss_type === "bnpo"
      ? {}
      : { withoutGradient: isZeroAdvantage }),
  };
}

/** `tokenBudget`: N L of the step; `microBatches`: how many there are. */
function counts(columns: CompletionNumbers["columns"], { loss_type }: GrpoOptions): Record<string, number> {
  if (loss_type === "bnpo") return { microBatches: 1 };
  if (loss_type !== "dr_grpo") return {};
  return { tokenBudget: Array.from(columns["maxLengths"] ?? []).reduce((sum, length) => sum + length, 0) };
}

function prepare(rollout: ScoredRollout, { scale_rewards, beta, loss_type }: GrpoOptions): PreparedRollout {
  const { rewards, groupSizes, max_completion_length } = rollout;
  return {
    columns: {
      advantages: groupAdvantages(rewards, groupSizes, scale_rewards),
      ...(beta > 0 ? { referenceTokenLogps: referenceOf(rollout, "beta") } : {}),
      ...(loss_type === "dr_grpo" ? { maxLengths: rewards.map(() => max_completion_length) } : {}),
    },
    metrics: rewardMetrics(rollout),
  };
}

/** What a micro-batch's losses are made of; ratio and advantages are (R), or (C) with ratios of sequences. */
interface Terms {
  ratio: Tensor;
  advantages: Tensor;
  /** (R) */
  losses: Tensor;
}

function evaluate(completions: CompletionLogps, totals: StepTotals, options: GrpoOptions): ObjectiveResult {
  const { ratio, advantages, losses: plain } = policyTerms(completions, options);
  // the KL's term is not corrected, as in TRL
  const losses = weighted(plain, completions);
  const isToken = options.importance_sampling_level === "token";
  const ofAll = [ratio, advantages];
  const [counted = ratio, push = advantages] = isToken ? ofAll : ofCounted(ofAll, completions);
  const metrics: Record<string, Metric> = {
    ...ratioMetrics(counted),
    ...boundMetrics(isToken ? completions : null, counted, push, options),
  };
  let all = losses;
  if (options.beta > 0) {
    const k3 = klEstimates("k3", completions.logps, columnOf(completions, "referenceTokenLogps"));
    const kl = options.use_bias_correction_kl ? ops.mul(k3, spread(ratio, completions, options)) : k3;
    all = ops.add(losses, ops.mul(kl, options.beta));
    metrics["kl"] = meanOf(kl);
  }
  const loss = reduced(all, completions, totals, options);
  return options.entropy_coef === 0
    ? { loss, metrics }
    : withEntropies({ loss, metrics }, completions, totals, options);
}

/** The loss less its part of the bonus for entropy. */
function withEntropies(
  { loss, metrics }: ObjectiveResult,
  { entropies = null }: CompletionLogps,
  totals: StepTotals,
  { entropy_coef }: GrpoOptions,
): ObjectiveResult {
  if (entropies === null) {
    throw new ShapeError("entropy_coef needs the entropies of tokens beside their log-probs, and got none");
  }
  const bonus = ops.mul(ops.sum(entropies), entropy_coef / Math.max(1, totals.tokens));
  const { micro, completions } = totals;
  return {
    loss: ops.sub(loss, bonus),
    metrics: {
      ...metrics,
      // a part of the step's loss, counted so that the average over parts is their sum
      policy_loss: { sum: ops.mul(ops.detach(loss), completions), count: micro.completions },
      entropy_coef: { sum: ops.mul(ops.onesLike(ops.detach(loss)), entropy_coef), count: 1 },
    },
  };
}

/** (R) of what is per token, or per completion where ratios are of sequences. */
function spread(values: Tensor, completions: CompletionLogps, options: GrpoOptions): Tensor {
  return options.importance_sampling_level === "token" ? values : byToken(values, completions);
}

function policyTerms(completions: CompletionLogps, options: GrpoOptions): Terms {
  const tokenRatio = logRatio(completions);
  const ofCompletion = columnOf(completions, "advantages");
  const isToken = options.importance_sampling_level === "token";
  const log = isToken
    ? tokenRatio
    : ops.div(sumByCompletion(tokenRatio, completions), safeLengths(completions));
  const ratio = ops.exp(log);
  const advantages = isToken ? byToken(ofCompletion, completions) : ofCompletion;
  const { epsilon, epsilon_high, delta, loss_type } = options;
  if (loss_type === "cispo") {
    const weight = ops.detach(ops.mul(ops.clamp(ratio, null, epsilon_high), advantages));
    return {
      ...{ ratio, advantages },
      losses: ops.neg(ops.mul(spread(weight, completions, options), completions.logps)),
    };
  }
  const gain =
    loss_type === "sapo"
      ? softSurrogate(ratio, advantages, options)
      : clippedSurrogate(ratio, advantages, { low: 1 - epsilon, high: 1 + epsilon_high, most: delta });
  return { ratio, advantages, losses: ops.neg(spread(gain, completions, options)) };
}

/** (4/τ) σ(τ (r − 1)) A, whose slope at r = 1 is A. */
function softSurrogate(
  ratio: Tensor,
  advantages: Tensor,
  { sapo_temperature_pos, sapo_temperature_neg }: GrpoOptions,
): Tensor {
  const isPositive = ops.to(ops.gt(advantages, 0), ratio.dtype);
  const temperature = ops.add(
    ops.mul(isPositive, sapo_temperature_pos - sapo_temperature_neg),
    sapo_temperature_neg,
  );
  const gate = ops.sigmoid(ops.mul(temperature, ops.sub(ratio, 1)));
  return ops.mul(ops.div(ops.mul(gate, 4), temperature), advantages);
}

/** This micro-batch's part of the step's loss. */
function reduced(
  losses: Tensor,
  completions: CompletionLogps,
  totals: StepTotals,
  { loss_type }: GrpoOptions,
): Tensor {
  const { tokenBudget = 0, microBatches = 1 } = totals.counted ?? {};
  if (loss_type === "grpo" || loss_type === "sapo") {
    const means = ops.div(sumByCompletion(losses, completions), safeLengths(completions));
    return ops.mul(ops.sum(means), 1 / totals.completions);
  }
  const divisor = {
    dapo: () => totals.tokens,
    cispo: () => totals.tokens,
    bnpo: () => totals.micro.tokens * microBatches,
    dr_grpo: () => tokenBudget,
    luspo: () => totals.completions,
  };
  return ops.mul(ops.sum(losses), 1 / Math.max(1, divisor[loss_type]()));
}

function boundMetrics(
  completions: CompletionLogps | null,
  ratio: Tensor,
  advantages: Tensor,
  { loss_type, epsilon, epsilon_high }: GrpoOptions,
): Record<string, Metric> {
  if (loss_type === "sapo") return {};
  if (loss_type !== "cispo") {
    return clipMetrics(completions, ratio, advantages, { low: 1 - epsilon, high: 1 + epsilon_high });
  }
  const isClipped = ops.logicalAnd(ops.gt(ratio, epsilon_high), ops.gt(advantages, 0));
  return { cispo_clip_ratio: meanOf(ops.to(isClipped, ratio.dtype)) };
}
