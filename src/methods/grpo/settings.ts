/** GRPO's hyperparameters, presets and metrics. */
import type { ValuesOf } from "../../base/value-schema.ts";
import type { Method, Preset } from "../method.ts";
import { CLIP_METRICS, KL_METRIC, RATIO_METRICS, REWARD_METRICS } from "../rollout-metrics.ts";

/** The hyperparameters of GRPO, under TRL's names. */
const KEYS = {
  loss_type: {
    schema: { enum: ["dapo", "grpo", "dr_grpo", "bnpo", "cispo", "luspo", "sapo"], default: "dapo" },
    unit: "none",
    doc: "Form of the token's loss and what it is divided by. With preset published the name also brings what its paper says: dr_grpo no scaling of rewards, dapo an epsilon_high of 0.28, cispo one of 5, luspo ratios of sequences.",
    source: "TRL",
  },
  importance_sampling_level: {
    schema: { enum: ["token", "sequence"] },
    unit: "none",
    doc: "Whether a token has its own ratio π / π_old, or all of a completion's have the geometric mean of theirs (GSPO).",
    rule: "sequence for luspo, else token; with preset trl token",
    source: "arXiv 2507.18071, 2602.05261",
  },
  epsilon: {
    schema: { type: "number", minimum: 0, exclusiveMaximum: 1, default: 0.2 },
    unit: "none",
    doc: "A token with a negative advantage stops being pushed down once its ratio is below 1 − epsilon.",
    source: "TRL",
  },
  epsilon_high: {
    schema: { type: "number", minimum: 0 },
    unit: "none",
    doc: "A token with a positive advantage stops being pushed up once its ratio is above 1 + epsilon_high. With cispo: the greatest ratio itself, at least 1.",
    rule: "0.28 for dapo, 5 for cispo, else epsilon; with preset trl epsilon",
    source: "arXiv 2503.14476, 2510.13786",
  },
  delta: {
    schema: { type: ["number", "null"], exclusiveMinimum: 1, default: null },
    unit: "none",
    doc: "Two-sided clipping: ratios count as at most delta for negative advantages too; null: they are unbounded there.",
    source: "arXiv 2505.07291 and TRL",
  },
  beta: {
    schema: { type: "number", minimum: 0, default: 0 },
    unit: "per nat",
    doc: "Weight of the KL to the reference in the loss, k3 per token. 0: no reference is needed.",
    source: "TRL",
  },
  use_bias_correction_kl: {
    schema: { type: "boolean", default: true },
    unit: "none",
    doc: "Multiplies the KL's estimate by the ratio, so that its gradient is that of the KL; without it the gradient is another's (biased).",
    source: "TRL, arXiv 2512.02556",
  },
  entropy_coef: {
    schema: { type: "number", default: 0 },
    unit: "per nat",
    doc: "Weight of a bonus for entropy: this times the mean entropy of the step's completion tokens is taken off the loss, whatever the loss_type. 0: none.",
    source: "TRL",
  },
  scale_rewards: {
    schema: { enum: ["group", "batch", "none"] },
    unit: "none",
    doc: "What a reward's difference from its group's mean is divided by: the group's standard deviation, that of the whole rollout, or nothing.",
    rule: "none for dr_grpo, else group; with preset trl group",
    source: "arXiv 2503.20783",
  },
  sapo_temperature_pos: {
    schema: { type: "number", exclusiveMinimum: 0, default: 1 },
    unit: "none",
    doc: "Steepness of sapo's soft clipping for tokens with a positive advantage.",
    source: "arXiv 2511.20347 and TRL",
  },
  sapo_temperature_neg: {
    schema: { type: "number", exclusiveMinimum: 0, default: 1.05 },
    unit: "none",
    doc: "The same for the other tokens.",
    source: "arXiv 2511.20347 and TRL",
  },
} as const;

/** Named sets of values. */
export type GrpoPreset = "published" | "trl";

/** What the loss takes. */
export type GrpoOptions = ValuesOf<typeof KEYS>;

/** Settings of a GRPO run. */
export interface GrpoSettings extends GrpoOptions {
  objective: "grpo";
  preset: GrpoPreset;
}

const PRESETS: Readonly<Record<GrpoPreset, Preset<GrpoSettings>>> = {
  published: { values: {}, source: "the paper of each loss_type" },
  trl: {
    values: { importance_sampling_level: "token", scale_rewards: "group" },
    source: "TRL's defaults, which do not depend on loss_type",
  },
};

/** By loss_type, where a paper says it. */
const epsilonHigh: Partial<Record<GrpoOptions["loss_type"], number>> = { dapo: 0.28, cispo: 5 };

/** GRPO (arXiv 2402.03300) and its relatives by `loss_type`. */
export const grpo: Method<GrpoSettings> = {
  label: "GRPO",
  over: "groups",
  needsReference: false,
  klWeight: "beta",
  ratio: "token",
  learnsStill: ({ beta, entropy_coef }) => [
    ...(beta > 0 ? ["the KL to the reference (beta)"] : []),
    ...(entropy_coef === 0 ? [] : ["the bonus for entropy (entropy_coef)"]),
  ],
  ofMicroBatch: ({ loss_type }) => (loss_type === "bnpo" ? "loss_type: bnpo" : null),
  onPolicy: "only",
  learning_rate: { value: 1e-6, source: "TRL" },
  keys: KEYS,
  presets: PRESETS,
  defaults: [
    {
      key: "epsilon_high",
      value: ({ preset, loss_type, epsilon }) =>
        preset === "trl" ? epsilon : (epsilonHigh[loss_type] ?? epsilon),
      why: ({ preset, loss_type }) =>
        preset === "trl" || epsilonHigh[loss_type] === undefined ? "epsilon" : `loss_type ${loss_type}`,
    },
    {
      key: "importance_sampling_level",
      value: ({ loss_type }) => (loss_type === "luspo" ? "sequence" : "token"),
      why: ({ loss_type }) => `loss_type ${loss_type}`,
    },
    {
      key: "scale_rewards",
      value: ({ loss_type }) => (loss_type === "dr_grpo" ? "none" : "group"),
      why: ({ loss_type }) => `loss_type ${loss_type}`,
    },
  ],
  checks: [
    {
      key: "epsilon_high",
      severity: "error",
      when: ({ loss_type, epsilon_high }) => loss_type === "cispo" && epsilon_high < 1,
      text: ({ epsilon_high }) =>
        `for cispo it is the greatest ratio itself, and ${epsilon_high} would multiply every on-policy gradient by ${epsilon_high} (as TRL's default does). Set epsilon_high: 5.`,
    },
    {
      key: "delta",
      severity: "warning",
      when: ({ delta, epsilon_high }) => delta !== null && delta <= 1 + epsilon_high,
      text: ({ delta, epsilon_high }) =>
        `${delta} is not above 1 + epsilon_high (${1 + epsilon_high}), so it bounds positive advantages instead of epsilon_high.`,
    },
    {
      key: "use_bias_correction_kl",
      severity: "warning",
      when: ({ beta, use_bias_correction_kl }) => beta > 0 && !use_bias_correction_kl,
      text: () =>
        'false makes the gradient of the KL term that of KL(reference ‖ policy) in the mean, not of KL(policy ‖ reference): docs/objectives.md, "KL to the start".',
    },
    {
      key: "importance_sampling_level",
      severity: "warning",
      when: ({ loss_type, importance_sampling_level }) =>
        loss_type === "luspo" && importance_sampling_level !== "sequence",
      text: () => "token is not LUSPO, which is defined on ratios of sequences.",
    },
  ],
  otherNames: {
    off_policy_mask_threshold:
      "not offered; rollouts of an older policy are masked by `importance_sampling_mode: sequence_mask`",
    top_entropy_quantile: "all tokens of a completion count in the loss, TRL's default (1.0); leave it out",
    use_adaptive_entropy: "the weight of the entropy stays as it is given: write `entropy_coef`",
  },
  inactive: [
    {
      keys: ["use_bias_correction_kl"],
      because: "beta",
      when: ({ beta }) => beta === 0,
      reason: "beta is 0, so there is no KL term",
    },
    {
      keys: ["sapo_temperature_pos", "sapo_temperature_neg"],
      because: "loss_type",
      when: ({ loss_type }) => loss_type !== "sapo",
      reason: "loss_type is not sapo",
    },
    {
      keys: ["epsilon", "epsilon_high", "delta"],
      because: "loss_type",
      when: ({ loss_type }) => loss_type === "sapo",
      reason: "loss_type is sapo, which has no bounds but its temperatures",
    },
    {
      keys: ["epsilon", "delta"],
      because: "loss_type",
      when: ({ loss_type }) => loss_type === "cispo",
      reason: "loss_type is cispo, which epsilon_high alone bounds",
    },
  ],
  metrics: [
    ...REWARD_METRICS,
    ...RATIO_METRICS,
    ...CLIP_METRICS.map((metric) => ({ ...metric, needs: "loss_type not cispo or sapo" })),
    {
      key: "cispo_clip_ratio",
      unit: "share",
      definition: "Fraction of tokens with a positive advantage whose ratio was bounded by epsilon_high.",
      better: null,
      needs: "loss_type cispo",
      onPolicy: true,
    },
    KL_METRIC,
    {
      key: "policy_loss",
      term: "Policy term, of weight 1",
      unit: "",
      definition: "The loss without the bonus for entropy.",
      better: null,
      needs: "entropy_coef",
      onPolicy: true,
    },
    {
      key: "entropy_coef",
      unit: "per nat",
      definition: "The weight of the bonus for entropy.",
      better: null,
      needs: "entropy_coef",
      onPolicy: true,
    },
  ],
};
