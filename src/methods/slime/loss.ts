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
  type Per,
  pairMetrics,
  type StartTokens,
  type StepTotals,
  shareOf,
} from "../objective.ts";
import { type SlimeOptions, type WholeSlimeOptions, wholeOptions } from "./settings.ts";

/**
 * The SLIME objective over preference pairs.
 *
 * Paper: Afanasyev & Iov 2026, arXiv:2602.02383v2, "SLIME: Stabilized Likelihood Implicit Margin Enforcement", Eq. (5) to (10)
 *   L = mean over pairs [ −λw l_w + λd relu(mh − Δ) σ(κ(ms − Δ)) ] + λl (1/N_l) Σ_rejected softplus(−logp_t − δ)^p
 *   with l_w, l_l the mean token log-probs of the completions and Δ = l_w − l_l.
 * Differs: N_l counts the rejected tokens of the whole optimiser step by the completion mask (the authors' code: of the
 *   micro-batch, by log-prob ≠ 0); the loss is counted once. `preset: "reference-compat"` restores both.
 *   `lambda_start` η adds η · mean over pairs of (1/|y_w|) Σ_t relu(logp0_t + ε − logp_t) over chosen tokens, logp0 those of the
 *   start and ε `start_margin`; with `chosen_floor` λw is the column `lambda_w`, where the micro-batch has it.
 * Numerics: softplus is linear above 20, an error below 3e-9. A token within 1e-3 nats of where η's term begins is not in it, so that
 *   rounding does not decide at the first step, where every token is at its start.
 *
 * Metrics: `rewards/*` are the completions' mean token log-probs (nats per token), so `rewards/margins` is the mean Δ.
 */
export function slime(given: SlimeOptions): PairObjective {
  const options = wholeOptions(given);
  return {
    name: "slime",
    over: "pairs",
    lambda_w: options.lambda_w,
    columns: columnsOf(options),
    needsWholeMicroBatch: options.preset === "reference-compat",
    evaluate: (pairs, totals) => evaluate(pairs, totals, options),
  };
}

function columnsOf({ lambda_start, chosen_floor }: WholeSlimeOptions): Record<string, Per> {
  return {
    ...(lambda_start > 0 || chosen_floor !== null ? { referenceTokenLogps: "token" } : {}),
    ...(chosen_floor === null ? {} : { lambda_w: "completion?" }),
  };
}

/** Nats by which a token has to be below the start to have fallen: more than half precision of what is kept of the start. */
const level = 1e-3;

/** The parts, each this micro-batch's part of the step's loss, (). */
interface Parts {
  /** Eq. (6) */
  anchor: Tensor;
  /** Eq. (8) to (10) */
  margin: Tensor;
  /** Eq. (7) */
  penalty: Tensor;
  /** Of `lambda_start`; null without. */
  startAnchor: Tensor | null;
}

function evaluate(pairs: PairLogps, totals: StepTotals, options: WholeSlimeOptions): ObjectiveResult {
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
    anchor: anchorOf(pairs, options.lambda_w, perPair),
    margin: weighed(byWeight(ops.mul(hinge, gate), pairs), options.lambda_d * perPair),
    penalty: weighed(
      ops.mul(ops.pow(softplus, options.power), counted.mask),
      options.lambda_l * counted.weight,
    ),
    startAnchor: startAnchor(pairs, options, perPair),
  };
  const paper = ops.add(ops.add(parts.anchor, parts.margin), parts.penalty);
  const once = parts.startAnchor === null ? paper : ops.add(paper, parts.startAnchor);
  const times = options.preset === "reference-compat" ? 3 : 1;
  return {
    loss: times === 1 ? once : ops.mul(once, times),
    metrics: { ...rewardMetrics(pairs, times), ...slimeMetrics(pairs, delta, parts, { totals, options }) },
  };
}

/** −λw l_w, with a weight for each pair where there is one. */
function anchorOf(pairs: PairLogps, lambda: number, perPair: number): Tensor {
  const values = byWeight(anchored(pairs), pairs);
  if (pairs.anchorWeights === null) return weighed(values, -lambda * perPair);
  const isOff = ops.eq(pairs.anchorWeights, 0);
  return weighed(ops.mul(ops.maskedFill(values, isOff, 0), pairs.anchorWeights), -perPair);
}

/** η's term; null without one. */
function startAnchor(
  { start, tokenLogps }: PairLogps,
  { lambda_start, start_margin }: WholeSlimeOptions,
  perPair: number,
): Tensor | null {
  if (start === null || lambda_start === 0) return null;
  const missing = missingOf(start, tokenLogps, start_margin);
  const fallen = ops.maskedFill(missing, ops.le(missing, level), 0);
  return weighed(ops.mul(fallen, start.chosenShares), lambda_start * perPair);
}

/** By how much each token is below its log-prob at the start plus `margin`, (R); 0 for rejected ones, whatever they are. */
function missingOf({ logps, chosenShares }: StartTokens, tokenLogps: Tensor, margin: number): Tensor {
  return ops.maskedFill(ops.sub(ops.add(logps, margin), tokenLogps), ops.eq(chosenShares, 0), 0);
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
  options: WholeSlimeOptions,
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
  { totals, options }: { totals: StepTotals; options: WholeSlimeOptions },
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
    ...(parts.startAnchor === null ? {} : { "slime/start_anchor_loss": share(parts.startAnchor) }),
    ...startMetrics(pairs, totals.micro.groups, options),
    ...weightMetric(pairs, options),
  };
}

/** The anchor's weight where it changes. */
function weightMetric(
  { anchorWeights, chosenMeanLogps }: PairLogps,
  { lambda_w, chosen_floor }: WholeSlimeOptions,
): Record<string, Metric> {
  if (chosen_floor === null) return {};
  const weights = anchorWeights ?? ops.mul(ops.onesLike(ops.detach(chosenMeanLogps)), lambda_w);
  return { "slime/lambda_w": meanOf(weights) };
}

function startMetrics(
  { start, tokenLogps, chosenMeanLogps }: PairLogps,
  count: number,
  { lambda_start, start_margin }: WholeSlimeOptions,
): Record<string, Metric> {
  if (start === null) return {};
  const atStart = ops.sum(ops.mul(start.logps, start.chosenShares));
  const change = { sum: ops.sub(ops.sum(ops.detach(chosenMeanLogps)), atStart), count };
  if (lambda_start === 0) return { "slime/chosen_change": change };
  const fallen = ops.gt(missingOf(start, ops.detach(tokenLogps), start_margin), level);
  const share = ops.sum(ops.mul(ops.to(fallen, start.logps.dtype), start.chosenShares));
  return { "slime/chosen_change": change, "slime/frac_chosen_tokens_fallen": { sum: share, count } };
}
