/** Metrics that several objectives on rollouts have, under TRL's names. No libtorch. */
import type { MethodMetric } from "./method.ts";

const onPolicy = true;

/** Of `rewardMetrics`. */
export const REWARD_METRICS: readonly MethodMetric[] = [
  {
    key: "reward",
    unit: "",
    definition: "Mean reward of the rollout's completions, over those that could be scored.",
    better: "higher",
    onPolicy,
  },
  {
    key: "reward_std",
    unit: "",
    definition: "Standard deviation of these rewards over the whole rollout.",
    better: null,
    onPolicy,
  },
  {
    key: "frac_reward_zero_std",
    unit: "share",
    definition:
      "Fraction of groups whose rewards are all equal, so that they prefer no completion. Equality decides, not a rounded deviation.",
    better: "lower",
    onPolicy,
  },
];

/** Of `ratioMetrics`. */
export const RATIO_METRICS: readonly MethodMetric[] = [
  {
    key: "ratio/mean",
    unit: "",
    definition:
      "Mean of π / π_old over tokens, or over completions where the ratio is the sequence's. Exactly 1 at the first update of a rollout.",
    better: null,
    onPolicy,
  },
  { key: "ratio/min", unit: "", definition: "Least ratio of the step.", better: null, onPolicy },
  { key: "ratio/max", unit: "", definition: "Greatest ratio of the step.", better: null, onPolicy },
];

/** Of `clipMetrics`. */
export const CLIP_METRICS: readonly MethodMetric[] = [
  {
    key: "clip_ratio/low_mean",
    unit: "share",
    definition:
      "Fraction of tokens (of completions, where the ratio is the sequence's) with a negative advantage and a ratio below 1 − epsilon: their gradient is cut.",
    better: null,
    onPolicy,
  },
  {
    key: "clip_ratio/high_mean",
    unit: "share",
    definition: "The same with a positive advantage and a ratio above the upper bound.",
    better: null,
    onPolicy,
  },
  {
    key: "clip_ratio/region_mean",
    unit: "share",
    definition: "Fraction of either kind.",
    better: null,
    onPolicy,
  },
  {
    key: "clip_ratio/low_min",
    unit: "share",
    definition: "Least fraction of low-clipped tokens of one completion.",
    better: null,
    onPolicy,
  },
  {
    key: "clip_ratio/high_max",
    unit: "share",
    definition: "Greatest fraction of high-clipped tokens of one completion.",
    better: null,
    onPolicy,
  },
];

/** The estimate of the KL. */
export const KL_METRIC: MethodMetric = {
  key: "kl",
  unit: "nats/token",
  definition:
    "Mean estimate of the KL to the reference per token: k3 for grpo, times the ratio with use_bias_correction_kl; k1 for rloo; kl_estimator's on pairs.",
  better: null,
  needs: "beta or kl_coef above 0",
  onPolicy,
};
