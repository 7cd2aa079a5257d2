/** A reward model's hyperparameters. */
import type { ValuesOf } from "../../base/value-schema.ts";
import type { Method } from "../method.ts";

/** The hyperparameters of reward models; TRL's name and default. */
const KEYS = {
  center_rewards_coefficient: {
    schema: { type: "number", minimum: 0, default: 0 },
    unit: "none",
    doc: "Pulls the mean reward of a pair towards 0 by this times (r_chosen + r_rejected)²; arXiv 2312.09244 recommends 0.01.",
    source: "TRL, whose None is 0",
  },
} as const;

/** What the loss takes. */
export type RewardOptions = ValuesOf<typeof KEYS>;

/** Settings of a run that trains a reward model. */
export interface RewardSettings extends RewardOptions {
  objective: "reward";
}

/** A reward model: one number for a prompt with its answer, trained on pairs (Bradley–Terry). */
export const reward: Method<RewardSettings> = {
  label: "reward models",
  over: "scores",
  needsReference: false,
  onPolicy: "never",
  learning_rate: { value: 1e-5, source: "TRL's examples for full tuning; its default, 1e-4, is LoRA's" },
  keys: KEYS,
  presets: null,
  metrics: [
    {
      key: "accuracy",
      unit: "share",
      definition: "Fraction of pairs whose chosen answer has strictly the greater reward.",
      better: "higher",
    },
    {
      key: "margin",
      unit: "reward",
      definition:
        "Mean of the chosen answer's reward − the rejected one's. Margins of the rows are not taken off.",
      better: "higher",
    },
    {
      key: "min_reward",
      unit: "reward",
      definition: "Smallest reward of the step or evaluation.",
      better: null,
    },
    {
      key: "mean_reward",
      unit: "reward",
      definition: "Mean reward of chosen and rejected answers.",
      better: null,
    },
    {
      key: "max_reward",
      unit: "reward",
      definition: "Greatest reward of the step or evaluation.",
      better: null,
    },
  ],
};
