/**
 * SLIME: anchors the chosen completion's likelihood, keeps the rejected completion's tokens from collapsing, and stops pushing
 * once a dual margin is met. No reference model.
 */
import { ops, type Tensor } from "../../torch/index.ts";
import {
  byWeight,
  type Metric,
  meanOf,
  type ObjectiveResult,
  type PairLogps,
  type PairObjective,
  pairMetrics,
  type StepTotals,
  shareOf,
} from "../objective.ts";
import type { SlimeOptions } from "./settings.ts";

/**
 * The SLIME objective over preference pairs.
 *
 * Paper: Afanasyev & Iov 2026, arXiv:2602.02383v2, "SLIME: Stabilized Likelihood Implicit Margin Enforcement", Eq. (5) to (10)
 *   L = mean over pairs [ −λw l_w + λd relu(mh − Δ) σ(κ(ms − Δ)) ] + λl (1/N_l) Σ_rejected softplus(−logp_t − δ)^p
 *   with l_w, l_l the mean token log-probs of the completions and Δ = l_w − l_l.
 * Differs: N_l counts the rejected tokens of the whole optimiser step by the completion mask (the authors' code: of the
 *   micro-batch, by log-prob ≠ 0); the loss is counted once. `preset: "reference-compat"` restores both.
 * Numerics: softplus is linear above 20, an error below 3e-9.
 *
 * Metrics: `rewards/*` are the completions' mean token log-probs (nats per token), so `rewards/margins` is the mean Δ.
 */
export function slime(options: SlimeOptions): PairObjective {
  return {
    name: "slime",
    over: "pairs",
    lambda_w: options.lambda_w,
    needsWholeMicroBatch: options.preset === "reference-compat",
    evaluate: (pairs, totals) => evaluate(pairs, totals, options),
  };
}

/** The three parts, each this micro-batch's part of the step's loss, (). */
interface Parts {
  /** Eq. (6) */
  anchor: Tensor;
  /** Eq. (8) to (10) */
  margin: Tensor;
  /** Eq. (7) */
  penalty: Tensor;
}

function evaluate(pairs: PairLogps, totals: StepTotals, options: SlimeOptions): ObjectiveResult {
  const { margin_hard: mh, margin_soft: ms, kappa } = options;
  const delta = ops.sub(pairs.chosenMeanLogps, pairs.rejectedMeanLogps);
  const gate = ops.sigmoid(ops.mul(ops.sub(ms, delta), kappa));
  const hinge = ops.relu(ops.sub(mh, delta));
  const counted = countedTokens(pairs, totals, options);
  // tokens that do not count stand as 0, so that a chosen token of log-prob -inf gives no inf · 0
  const logps = ops.maskedFill(pairs.tokenLogps, ops.eq(counted.mask, 0), 0);
  const softplus = ops.softplus(ops.sub(ops.neg(logps), options.delta));
  const perPair = 1 / totals.groups;
  const parts: Parts = {
    anchor: weighed(byWeight(anchored(pairs), pairs), -options.lambda_w * perPair),
    margin: weighed(byWeight(ops.mul(hinge, gate), pairs), options.lambda_d * perPair),
    penalty: weighed(
      ops.mul(ops.pow(softplus, options.power), counted.mask),
      options.lambda_l * counted.weight,
    ),
  };
  const once = ops.add(ops.add(parts.anchor, parts.margin), parts.penalty);
  const times = options.preset === "reference-compat" ? 3 : 1;
  return {
    loss: times === 1 ? once : ops.mul(once, times),
    metrics: { ...rewardMetrics(pairs, times), ...slimeMetrics(pairs, delta, parts, { totals, options }) },
  };
}

/** l_w, 0 where the chosen completion is not anchored. */
function anchored({ chosenMeanLogps, anchored: isAnchored }: PairLogps): Tensor {
  return isAnchored === null ? chosenMeanLogps : ops.maskedFill(chosenMeanLogps, ops.eq(isAnchored, 0), 0);
}

/** factor · Σ values; a factor of 0 gives 0 for infinite values as well. */
function weighed(values: Tensor, factor: number): Tensor {
  return factor === 0 ? ops.sum(ops.zerosLike(values)) : ops.mul(ops.sum(values), factor);
}

/** Which tokens the stabiliser counts, (R) of 0 and 1, and the factor 1/N_l. */
function countedTokens(
  pairs: PairLogps,
  totals: StepTotals,
  options: SlimeOptions,
): { mask: Tensor; weight: number } {
  if (options.preset !== "reference-compat") {
    return {
      mask: pairs.rejectedTokens,
      weight: totals.tokensByRole.rejected === 0 ? 0 : 1 / totals.tokensByRole.rejected,
    };
  }
  const nonZero = ops.to(ops.ne(pairs.tokenLogps, 0), pairs.rejectedTokens.dtype);
  const mask = ops.mul(pairs.rejectedTokens, nonZero);
  const count = ops.sum(mask).item();
  return { mask, weight: count === 0 ? 0 : totals.micro.groups / totals.groups / count };
}

function rewardMetrics(pairs: PairLogps, times: number): Record<string, Metric> {
  return pairMetrics(pairs, ops.mul(pairs.chosenMeanLogps, times), ops.mul(pairs.rejectedMeanLogps, times));
}

function slimeMetrics(
  pairs: PairLogps,
  delta: Tensor,
  parts: Parts,
  { totals, options }: { totals: StepTotals; options: SlimeOptions },
): Record<string, Metric> {
  const share = (part: Tensor): Metric => ({
    sum: ops.mul(ops.detach(part), totals.groups),
    count: totals.micro.groups,
  });
  const satisfied = ops.ge(delta, options.margin_hard);
  const soft = ops.logicalAnd(ops.lt(delta, options.margin_hard), ops.gt(delta, options.margin_soft));
  const low = ops.to(ops.lt(pairs.tokenLogps, -options.delta), pairs.rejectedTokens.dtype);
  return {
    "slime/anchor_loss": share(parts.anchor),
    "slime/margin_loss": share(parts.margin),
    "slime/rejected_penalty": share(parts.penalty),
    "slime/margin_mean": meanOf(delta),
    "slime/frac_hard_satisfied": shareOf(satisfied),
    "slime/frac_soft_zone": shareOf(soft),
    "slime/frac_rejected_tokens_penalised": {
      sum: ops.sum(ops.mul(low, pairs.rejectedTokens)),
      count: totals.micro.tokensByRole.rejected,
    },
  };
}
