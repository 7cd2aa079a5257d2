/** PPO's hyperparameters and metrics. */
import type { ValuesOf } from "../../base/value-schema.ts";
import type { Method } from "../method.ts";
import { REWARD_METRICS } from "../rollout-metrics.ts";

/** The hyperparameters of PPO, under TRL's names. */
const KEYS = {
  num_ppo_epochs: {
    schema: { type: "integer", minimum: 1, default: 4 },
    unit: "none",
    doc: "Passes over a rollout.",
    source: "TRL 1.12, the last with PPO",
  },
  num_mini_batches: {
    schema: { type: "integer", minimum: 1, default: 1 },
    unit: "none",
    doc: "Optimiser steps in a pass.",
    source: "TRL 1.12, the last with PPO",
  },
  cliprange: {
    schema: { type: "number", exclusiveMinimum: 0, exclusiveMaximum: 1, default: 0.2 },
    unit: "none",
    doc: "A token stops being pushed once its ratio has left 1 ± cliprange in the direction of the push.",
    source: "TRL 1.12, the last with PPO",
  },
  cliprange_value: {
    schema: { type: "number", exclusiveMinimum: 0, default: 0.2 },
    unit: "none",
    doc: "A token's value is not pulled further than this from what it was when the rollout was made.",
    source: "TRL 1.12, the last with PPO",
  },
  vf_coef: {
    schema: { type: "number", minimum: 0, default: 0.1 },
    unit: "none",
    doc: "Weight of the value model's loss.",
    source: "TRL 1.12, the last with PPO",
  },
  gamma: {
    schema: { type: "number", exclusiveMinimum: 0, maximum: 1, default: 1 },
    unit: "none",
    doc: "Discount of a later token's reward, per token.",
    source: "TRL 1.12, the last with PPO",
  },
  lam: {
    schema: { type: "number", minimum: 0, maximum: 1, default: 0.95 },
    unit: "none",
    doc: "λ of generalised advantage estimation: 1 trusts the rewards alone, 0 the value model alone.",
    source: "TRL 1.12, the last with PPO",
  },
  kl_coef: {
    schema: { type: "number", minimum: 0, default: 0.05 },
    unit: "per nat",
    doc: "Each token's KL to the reference times this is taken off its reward. 0: no reference is needed.",
    source: "TRL 1.12, the last with PPO",
  },
  kl_estimator: {
    schema: { enum: ["k1", "k3"], default: "k1" },
    unit: "none",
    doc: "Estimate of a token's KL. In the reward k1 alone has the gradient of the KL.",
    source: "TRL 1.12, the last with PPO",
  },
  whiten_rewards: {
    schema: { type: "boolean", default: false },
    unit: "none",
    doc: "Divides the tokens' rewards by their standard deviation over the rollout; their mean stays.",
    source: "TRL 1.12, the last with PPO",
  },
  value_model_name_or_path: {
    schema: { type: ["string", "null"], default: null },
    unit: "none",
    doc: "Where the value model begins: a reward model's directory (its score layer becomes the value head), or value_model/ of an earlier run; null: model_name_or_path with a value head of zeros.",
    source: "preftune",
  },
  value_learning_rate: {
    schema: { type: ["number", "null"], minimum: 0, default: null },
    unit: "none",
    doc: "Peak learning rate of the value model, on the policy's schedule; null: learning_rate.",
    source: "preftune",
  },
  value_warmup_steps: {
    schema: { type: "integer", minimum: 0, default: 0 },
    unit: "optimiser steps",
    doc: "Only the value model learns in the first of the run's steps; the policy stays as it is.",
    source: "preftune",
  },
} as const;

/** What the losses and advantages take. */
export type PpoOptions = ValuesOf<typeof KEYS>;

/** Settings of a PPO run. */
export interface PpoSettings extends PpoOptions {
  objective: "ppo";
}

const onPolicy = true;

/** PPO (arXiv 1707.06347) as in TRL 1.12, with a value model. */
export const ppo: Method<PpoSettings> = {
  label: "PPO",
  over: "groups",
  needsReference: false,
  klWeight: "kl_coef",
  ratio: "token",
  learnsStill: () => ["how rewards differ from what the value model expects"],
  onPolicy: "only",
  learning_rate: { value: 3e-6, source: "TRL 1.12" },
  keys: KEYS,
  presets: null,
  checks: [
    {
      key: "kl_estimator",
      severity: "warning",
      when: ({ kl_coef, kl_estimator }) => kl_coef > 0 && kl_estimator === "k3",
      text: () =>
        'k3 taken off the reward has a biased gradient; k1 has that of the KL: docs/objectives.md, "KL to the start".',
    },
  ],
  inactive: [
    {
      keys: ["kl_estimator"],
      because: "kl_coef",
      when: ({ kl_coef }) => kl_coef === 0,
      reason: "kl_coef is 0, so there is no KL in the reward",
    },
  ],
  updates: ({ num_ppo_epochs, num_mini_batches }) => ({ passes: num_ppo_epochs, steps: num_mini_batches }),
  metrics: [
    ...REWARD_METRICS,
    ...[
      ["objective/scores", "", "Mean reward of the reward functions, as `reward`."],
      [
        "objective/kl",
        "nats",
        "Mean over completions of the KL to the reference, k1 or k3 summed over tokens.",
      ],
      [
        "objective/non_score_reward",
        "",
        "Mean over completions of the summed KL penalties: −kl_coef × `objective/kl`.",
      ],
      ["objective/rlhf_reward", "", "Sum of `objective/scores` and `objective/non_score_reward`."],
      ["loss/policy_avg", "nats", "Policy loss."],
      ["policy/approxkl_avg", "nats/token", "Mean of (log π − log π_old)² / 2 over tokens."],
      ["policy/clipfrac_avg", "share", "Fraction of tokens whose clipped loss is the greater."],
      ["val/ratio", "", "Mean of π / π_old over tokens. Exactly 1 at the first update of a rollout."],
      ["loss/value_avg", "", "Value loss, before vf_coef."],
      ["val/clipfrac_avg", "share", "Fraction of tokens whose clipped value loss is the greater."],
      [
        "val/explained_variance",
        "share",
        "1 − variance(return − value) / variance(return) over the rollout's tokens, before its updates: 0 for a value model that knows nothing, 1 for one that knows all. NaN: all returns are equal.",
      ],
      ["val/grad_norm", "", "Joint L2 norm of the value model's gradients before clipping."],
      [
        "val/skipped",
        "share",
        "Fraction of steps whose value loss or gradient was not finite: the value model stayed.",
      ],
    ].map(([key = "", unit = "", definition = ""]) => ({
      ...{ key, unit, definition, better: null, onPolicy },
      ...(key === "val/explained_variance" && { mayBeNone: true }),
    })),
  ],
};
