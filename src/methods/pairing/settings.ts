/** How pairs are made of a rollout's groups, and what holds an objective over pairs near the start. No libtorch. */
import type { ValuesOf } from "../../base/value-schema.ts";
import type { KlEstimator } from "../kl-estimators.ts";
import type { Check, InactiveRule, Method, MethodMetric } from "../method.ts";
import { KL_METRIC, REWARD_METRICS } from "../rollout-metrics.ts";

/** The keys of runs of an objective over pairs on the model's own answers. */
export const PAIRING_KEYS = {
  pairs: {
    schema: { enum: ["all", "best_worst", "ranked"], default: "all" },
    unit: "none",
    doc: "Which completions of a group are paired: every two whose rewards differ, the best with the worst, or each with those of the next lower reward. Groups that have pairs weigh the same.",
    source: "preftune",
  },
  reward_gap: {
    schema: { type: "number", minimum: 0, default: 0 },
    unit: "none",
    doc: "A pair needs a difference of rewards above this, by more than float32 rounds; equal rewards are never a pair.",
    source: "preftune",
  },
  rejected_quantile: {
    schema: { type: "number", minimum: 0, exclusiveMaximum: 1, default: 0 },
    unit: "share",
    doc: "The worst of a group up to this fraction, rounded down, are never the rejected one: among many samples the very worst teaches little.",
    source: "arXiv 2502.16825",
  },
  anchor_on: {
    schema: { enum: ["all", "positive"], default: "all" },
    unit: "none",
    doc: "Which chosen completions slime's anchor raises: all, or those whose reward is above anchor_threshold.",
    source: "preftune",
  },
  anchor_threshold: {
    schema: { type: "number", default: 0 },
    unit: "none",
    doc: "With anchor_on: positive, the reward that a chosen completion must exceed to be anchored.",
    source: "preftune",
  },
  kl_coef: {
    schema: { type: "number", minimum: 0, default: 0 },
    unit: "per nat",
    doc: "Weight of the KL to the reference, an estimate per token. 0: no KL.",
    source: "preftune",
  },
  kl_in: {
    schema: { enum: ["loss", "reward"], default: "loss" },
    unit: "none",
    doc: "Where the KL goes: into the loss, as a mean over tokens, or off each completion's reward, summed over its tokens, before pairs are made.",
    source: "preftune",
  },
  kl_estimator: {
    schema: { enum: ["k1", "k2", "k3", null], default: null },
    unit: "none",
    doc: "Estimate of a token's KL. In the loss k2, or k3, which is multiplied by the ratio there; in the reward k1. Other choices are biased, and k1 in the loss does nothing in the mean.",
    rule: "k1 in the reward, k2 in the loss",
    source: "arXiv 2512.21852",
  },
  replay: {
    schema: { type: "number", minimum: 0, maximum: 1, default: 0 },
    unit: "share",
    doc: "Good completions of rows (chosen or completion) that each step anchors besides, as a fraction of its prompts.",
    source: "preftune",
  },
  replay_coef: {
    schema: { type: "number", minimum: 0, default: 0.4 },
    unit: "none",
    doc: "Weight of the replayed completions' negative mean log-probability, for objectives without an anchor; slime has lambda_w.",
    source: "preftune",
  },
} as const;

/** What pairs are made by. */
export type PairingOptions = ValuesOf<typeof PAIRING_KEYS>;

/** The estimator of a run's KL: the one that is right in its place where none is given. */
export function klEstimatorOf({ kl_estimator, kl_in }: PairingOptions): KlEstimator {
  return kl_estimator ?? (kl_in === "reward" ? "k1" : "k2");
}

/** What is wrong or doubtful in the options. */
export const PAIRING_CHECKS: readonly Check<PairingOptions>[] = [
  {
    key: "kl_estimator",
    severity: "warning",
    when: (options) => options.kl_coef > 0 && options.kl_in === "loss" && options.kl_estimator === "k1",
    text: () =>
      "k1 in the loss has a gradient of mean 0: it holds nothing and only adds noise. Set kl_estimator: k2 or k3, or kl_in: reward.",
  },
  {
    key: "kl_estimator",
    severity: "warning",
    when: ({ kl_coef, kl_in, kl_estimator }) =>
      kl_coef > 0 && kl_in === "reward" && kl_estimator !== null && kl_estimator !== "k1",
    text: ({ kl_estimator }) =>
      `${kl_estimator} in the reward has a biased gradient; that of k1 is the KL's. Set kl_estimator: k1, or kl_in: loss.`,
  },
];

/** Options without effect beside others. */
export const PAIRING_INACTIVE: readonly InactiveRule<PairingOptions>[] = [
  {
    keys: ["kl_in", "kl_estimator"],
    because: "kl_coef",
    when: ({ kl_coef }) => kl_coef === 0,
    reason: "kl_coef is 0, so there is no KL",
  },
  {
    keys: ["replay_coef"],
    because: "replay",
    when: ({ replay }) => replay === 0,
    reason: "replay is 0, so nothing is replayed",
  },
  {
    keys: ["anchor_threshold"],
    because: "anchor_on",
    when: ({ anchor_on }) => anchor_on === "all",
    reason: "anchor_on is all",
  },
];

/** Which options an objective does not read: one that has an anchor, weighed by `lambda_w`, or one that has none. */
function anchorRules(
  label: string,
  hasAnchor: boolean,
): InactiveRule<Paired<{ objective: string; lambda_w?: number }>>[] {
  const rule = { because: "objective", when: () => true, remedy: "Take it out." } as const;
  const keys = ["anchor_on", "anchor_threshold"] as const;
  if (!hasAnchor)
    return [{ ...rule, keys, reason: `${label} has no anchor that could be for some completions alone` }];
  return [
    { ...rule, keys: ["replay_coef"], reason: `${label} weighs what is replayed by lambda_w` },
    {
      keys,
      because: "lambda_w",
      when: ({ lambda_w }) => lambda_w === 0,
      reason: "lambda_w is 0, so there is no anchor",
    },
  ];
}

const onPolicy = true;

/** What an objective over pairs logs on rollouts besides its own. */
const PAIRING_METRICS: readonly MethodMetric[] = [
  ...REWARD_METRICS,
  {
    key: "pairs/frac_groups",
    unit: "share",
    definition: "Fraction of groups that have a pair.",
    better: "higher",
    onPolicy,
  },
  {
    key: "pairs/per_group",
    unit: "",
    definition: "Mean number of pairs of the groups that have one.",
    better: null,
    onPolicy,
  },
  {
    key: "objective/scores_margin",
    unit: "",
    definition: "Mean over pairs of the chosen completion's reward − the rejected one's, without any KL.",
    better: null,
    onPolicy,
  },
  KL_METRIC,
  {
    key: "logps/replay_mean",
    unit: "nats/token",
    definition: "Mean over replayed completions of the log-probability per token.",
    better: "higher",
    needs: "replay",
    onPolicy,
  },
];

/** Without a difference of rewards there is no pair, but that of their KLs where those are taken off. */
function learnsStill({ kl_coef, kl_in, reward_gap, replay }: PairingOptions): string[] {
  const isByGap = kl_in === "reward" && reward_gap > 0;
  const kl = `the KL to the reference (kl_coef)${isByGap ? " where it differs by more than reward_gap" : ""}`;
  return [...(kl_coef > 0 ? [kl] : []), ...(replay > 0 ? ["the rows that are replayed (replay)"] : [])];
}

/** Settings of an objective over pairs, with what pairs of sampled completions are made by. */
export type Paired<Settings> = Settings & PairingOptions;

/** The method with these keys: on-policy it makes pairs of what the model samples. */
export function paired<Settings extends { objective: string }>(
  method: Method<Settings>,
): Method<Paired<Settings>> {
  const { label, keys, checks = [], inactive = [], metrics } = method;
  const rules = [...inactive, ...anchorRules(label, "lambda_w" in keys), ...PAIRING_INACTIVE];
  return {
    ...(method as unknown as Method<Paired<Settings>>),
    klWeight: "kl_coef",
    learnsStill,
    keys: { ...keys, ...PAIRING_KEYS } as unknown as Method<Paired<Settings>>["keys"],
    checks: [...checks, ...PAIRING_CHECKS] as Method<Paired<Settings>>["checks"] & object,
    inactive: rules as Method<Paired<Settings>>["inactive"] & object,
    metrics: [...metrics, ...PAIRING_METRICS],
  };
}
