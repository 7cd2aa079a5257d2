/** Advantages of a rollout's completions within their groups, in float64: plain numbers, no libtorch. */
import { at } from "../base/at.ts";
import type { RolloutColumns, ScoredRollout } from "./rollout.ts";

/** What the difference of a reward from its group's mean is divided by, as TRL's `scale_rewards`. */
export type RewardScaling = "group" | "batch" | "none";

/** Added to a deviation before anything is divided by it. */
const epsilon = 1e-4;

/** `values` in groups of `sizes`, one after the other. */
export function inGroups<T>(values: readonly T[], sizes: readonly number[]): T[][] {
  let start = 0;
  return sizes.map((size) => {
    const group = values.slice(start, start + size);
    start += size;
    return group;
  });
}

/** The numbers that are not NaN: the rewards of completions that could be scored. */
export function scorable(rewards: readonly number[]): number[] {
  return rewards.filter((reward) => !Number.isNaN(reward));
}

/**
 * Whether a group's rewards prefer none of its completions: those that are not NaN are all equal, or there is none.
 * Equality decides, not a deviation, which rounding leaves above 0.
 */
export function isDeadGroup(rewards: readonly number[]): boolean {
  const [first, ...others] = scorable(rewards);
  return others.every((reward) => reward === first);
}

/** The mean; NaN of nothing. */
export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** The standard deviation with Bessel's correction; NaN of fewer than two numbers. */
export function deviation(values: readonly number[]): number {
  if (values.length < 2) return Number.NaN;
  const center = mean(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - center) ** 2, 0) / (values.length - 1));
}

/**
 * GRPO's advantages, (N): A = (R − mean of the group) / (deviation + 1e-4), the deviation that of the group, of all rewards, or
 * no division. Exactly 0 in groups whose rewards are all equal. NaN rewards have advantage 0 and are in no mean or deviation.
 *
 * Paper: Shao et al. 2024, "DeepSeekMath", arXiv:2402.03300, Section 4.1.2; Bessel's correction and 1e-4 as in TRL.
 *
 * @param rewards - (N), NaN where unscorable
 * @param groupSizes - completions of each group, which stand together
 */
export function groupAdvantages(
  rewards: readonly number[],
  groupSizes: readonly number[],
  scaling: RewardScaling,
): number[] {
  const ofBatch = deviation(scorable(rewards));
  return inGroups(rewards, groupSizes).flatMap((group) => {
    const known = scorable(group);
    if (isDeadGroup(group)) return group.map(() => 0);
    const center = mean(known);
    const scale = { group: () => deviation(known) + epsilon, batch: () => ofBatch + epsilon, none: () => 1 };
    const divisor = scale[scaling]();
    return group.map((reward) => (Number.isNaN(reward) ? 0 : (reward - center) / divisor));
  });
}

/**
 * RLOO's advantages, (N): each reward less the mean of the others of its group. Exactly 0 in groups whose rewards are all
 * equal. NaN rewards have advantage 0 and are nobody's baseline.
 *
 * Paper: Ahmadian et al. 2024, "Back to Basics", arXiv:2402.14740, Eq. (9).
 */
export function leaveOneOutAdvantages(rewards: readonly number[], groupSizes: readonly number[]): number[] {
  return inGroups(rewards, groupSizes).flatMap((group) => {
    const known = scorable(group);
    if (isDeadGroup(group)) return group.map(() => 0);
    const sum = known.reduce((total, reward) => total + reward, 0);
    return group.map((reward) => (Number.isNaN(reward) ? 0 : reward - (sum - reward) / (known.length - 1)));
  });
}

/**
 * A / (deviation + 1e-4), the deviation that of all completions that could be scored. Advantages of a group add up to 0, so
 * there is no mean to take off, and what is 0 stays exactly 0.
 */
export function normalised(advantages: readonly number[], rewards: readonly number[]): number[] {
  const spread = deviation(advantages.filter((_, i) => !Number.isNaN(at(rewards, i))));
  return Number.isNaN(spread)
    ? [...advantages]
    : advantages.map((advantage) => advantage / (spread + epsilon));
}

/** (N) Whether a completion's advantage is 0: it is multiplied with what the loss has of its tokens. */
export function isZeroAdvantage({ advantages = [] }: RolloutColumns): boolean[] {
  return advantages.map((advantage) => advantage === 0);
}

/** What every objective on rollouts says of the rewards, under TRL's names; see `REWARD_METRICS`. */
export function rewardMetrics({ rewards, groupSizes }: ScoredRollout): Record<string, number> {
  const known = scorable(rewards);
  const groups = inGroups(rewards, groupSizes);
  return {
    reward: mean(known),
    reward_std: deviation(known),
    frac_reward_zero_std: groups.filter(isDeadGroup).length / groups.length,
  };
}
