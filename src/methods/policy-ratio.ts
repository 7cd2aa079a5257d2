/** The importance ratio π / π_old of tokens and completions, clipped surrogates, estimates of a KL: what objectives on rollouts share. */
import { ShapeError } from "../base/errors.ts";
import { onDevice, ops, type Tensor, tensor } from "../torch/index.ts";
import type { KlEstimator } from "./kl-estimators.ts";
import { type CompletionLogps, type Metric, meanOf, sumByCompletion } from "./objective.ts";

/** The column called `name`, which the objective asked for. */
export function columnOf({ columns }: CompletionLogps, name: string): Tensor {
  const column = columns[name];
  if (column === undefined) {
    throw new ShapeError(
      `expected the column "${name}" beside the log-probs, got ${Object.keys(columns).join(", ") || "none"}`,
    );
  }
  return column;
}

/**
 * (R) log π − log π_old. Without `oldLogps` the pass's own log-probs, detached, are the old ones: exactly 0, with the gradient
 * of log π.
 */
export function logRatio({ logps, columns }: CompletionLogps): Tensor {
  return ops.sub(logps, columns["oldLogps"] ?? ops.detach(logps));
}

/** (C) lengths, at least 1: a completion that is masked has no tokens. */
export function safeLengths({ lengths }: CompletionLogps): Tensor {
  return ops.clamp(lengths, 1);
}

/** (C) -> (R): each completion's value for each of its tokens. */
export function byToken(values: Tensor, { completion }: CompletionLogps): Tensor {
  return ops.indexSelect(values, 0, completion);
}

/** (C) values without those of masked completions, which have no tokens and so a ratio of exactly 1. */
export function ofCounted(values: readonly Tensor[], { lengths }: CompletionLogps): Tensor[] {
  const places = lengths.toNumbers().flatMap((length, i) => (length > 0 ? [i] : []));
  if (places.length === lengths.numel) return [...values];
  const index = onDevice(tensor(places, [places.length], { dtype: "int64" }), lengths.device, "int64");
  return values.map((own) => ops.indexSelect(own, 0, index));
}

/** The smaller of each two. Where they are equal the gradient is that of `a`. */
export function smaller(a: Tensor, b: Tensor): Tensor {
  return ops.where(ops.lt(b, a), b, a);
}

/** The greater of each two. Where they are equal the gradient is that of `a`. */
export function greater(a: Tensor, b: Tensor): Tensor {
  return ops.where(ops.gt(b, a), b, a);
}

/** Where a clipped surrogate stops following the ratio. */
export interface ClipBounds {
  low: number;
  high: number;
  /** The ratio counts as at most this much, whatever the advantage; null: unbounded. */
  most: number | null;
}

/**
 * min(r A, clip(r, low, high) A), r at most `most` in the first.
 *
 * Paper: Schulman et al. 2017, "Proximal Policy Optimization Algorithms", arXiv:1707.06347, Eq. (7); `most`: INTELLECT-2,
 *   arXiv:2505.07291.
 */
export function clippedSurrogate(ratio: Tensor, advantages: Tensor, { low, high, most }: ClipBounds): Tensor {
  const free = most === null ? ratio : ops.clamp(ratio, null, most);
  return smaller(ops.mul(free, advantages), ops.mul(ops.clamp(ratio, low, high), advantages));
}

/** See `RATIO_METRICS`. `ratio` is per token or per completion. */
export function ratioMetrics(ratio: Tensor): Record<string, Metric> {
  if (ratio.numel === 0) return {};
  const [least, greatest] = ops.aminmax(ops.detach(ratio));
  return {
    "ratio/mean": meanOf(ratio),
    "ratio/min": { sum: least, count: 1, extreme: "min" },
    "ratio/max": { sum: greatest, count: 1, extreme: "max" },
  };
}

/**
 * See `CLIP_METRICS`.
 *
 * @param completions - whose tokens ratios are of; null: each is a completion's
 * @param ratio - (R), or (C) where the ratio is the sequence's
 * @param advantages - of the same shape
 */
export function clipMetrics(
  completions: CompletionLogps | null,
  ratio: Tensor,
  advantages: Tensor,
  { low, high }: Pick<ClipBounds, "low" | "high">,
): Record<string, Metric> {
  if (ratio.numel === 0) return {};
  const as = (mask: Tensor) => ops.to(mask, ratio.dtype);
  const isLow = as(ops.logicalAnd(ops.lt(ratio, low), ops.lt(advantages, 0)));
  const isHigh = as(ops.logicalAnd(ops.gt(ratio, high), ops.gt(advantages, 0)));
  // a masked completion has no share: `none` is not an extreme
  const shares = (mask: Tensor, none: number) =>
    completions === null
      ? mask
      : ops.maskedFill(
          ops.div(sumByCompletion(mask, completions), safeLengths(completions)),
          ops.lt(completions.lengths, 1),
          none,
        );
  return {
    "clip_ratio/low_mean": meanOf(isLow),
    "clip_ratio/high_mean": meanOf(isHigh),
    "clip_ratio/region_mean": meanOf(ops.add(isLow, isHigh)),
    "clip_ratio/low_min": { sum: ops.neg(ops.amax(ops.neg(shares(isLow, 1)))), count: 1, extreme: "min" },
    "clip_ratio/high_max": { sum: ops.amax(shares(isHigh, 0)), count: 1, extreme: "max" },
  };
}

/** (R) estimates with the gradient of `logps`; the reference has none. */
export function klEstimates(estimator: KlEstimator, logps: Tensor, referenceLogps: Tensor): Tensor {
  const x = ops.sub(logps, referenceLogps);
  if (estimator === "k1") return x;
  if (estimator === "k2") return ops.mul(ops.pow(x, 2), 0.5);
  return ops.sub(ops.add(ops.exp(ops.neg(x)), x), 1);
}
