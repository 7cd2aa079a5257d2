/** KTO's hyperparameters and presets: answers with a thumb up or down, one by one. */
import type { ValuesOf } from "../../base/value-schema.ts";
import type { InactiveRule, Method, Preset } from "../method.ts";

/** The hyperparameters of KTO. */
const KEYS = {
  beta: {
    schema: { type: "number", exclusiveMinimum: 0, default: 0.1 },
    unit: "per nat",
    doc: "Scale of the reward, on sums of log-probabilities.",
    source: "arXiv 2402.01306 and TRL",
  },
  loss_type: {
    schema: { enum: ["kto", "apo_zero_unpaired"], default: "kto" },
    unit: "none",
    doc: "Form of the loss: kto compares each answer with the KL estimate, Eq. (8); apo_zero_unpaired with 0, and computes no KL.",
    source: "TRL",
  },
  desirable_weight: {
    schema: { type: "number", exclusiveMinimum: 0, default: 1 },
    unit: "none",
    doc: "Weight of good answers (label: true): λ_D. desirable_weight × good rows should be 1 to 1.33 times undesirable_weight × bad rows.",
    source: "arXiv 2402.01306 and TRL",
  },
  undesirable_weight: {
    schema: { type: "number", exclusiveMinimum: 0, default: 1 },
    unit: "none",
    doc: "Weight of bad answers (label: false): λ_U.",
    source: "arXiv 2402.01306 and TRL",
  },
  kl_over: {
    schema: { enum: ["step", "micro_batch"] },
    unit: "none",
    doc: "Rows of a KL estimate: those of the optimiser step, however it is cut; or those of each micro-batch, rows in the order of their files.",
  },
} as const;

/** Named sets of values. */
export type KtoPreset = "paper" | "trl";

/** What the loss takes. */
export type KtoOptions = ValuesOf<typeof KEYS>;

/** Settings of a KTO run. */
export interface KtoSettings extends KtoOptions {
  objective: "kto";
  preset: KtoPreset;
}

const PRESETS: Readonly<Record<KtoPreset, Preset<KtoSettings>>> = {
  paper: {
    values: { kl_over: "step" },
    source: "arXiv 2402.01306, Section 4.1, with the optimiser step as its batch",
  },
  trl: {
    values: { kl_over: "micro_batch" },
    source: "TRL's trainer, which pairs prompts and answers by chunks of the file and does not shuffle",
  },
};

const INACTIVE: readonly InactiveRule<KtoSettings>[] = [
  {
    keys: ["kl_over"],
    because: "loss_type",
    when: ({ loss_type }) => loss_type === "apo_zero_unpaired",
    reason: "loss_type is apo_zero_unpaired, which estimates no KL",
  },
];

/** KTO (arXiv 2402.01306). */
export const kto: Method<KtoSettings> = {
  label: "KTO",
  over: "labelled",
  needsReference: true,
  ofMicroBatch: ({ kl_over, loss_type }) =>
    kl_over === "micro_batch" && loss_type !== "apo_zero_unpaired" ? "kl_over: micro_batch" : null,
  onPolicy: "never",
  learning_rate: { value: 1e-6, source: "TRL" },
  keys: KEYS,
  presets: PRESETS,
  inactive: INACTIVE,
  reward: "beta × (log-probability − the reference's), sums over tokens, without the KL estimate",
  metrics: [
    {
      key: "kl",
      unit: "nats",
      definition:
        "The KL estimate that rewards are compared with: mean log-ratio of each row's prompt with another row's answer, never below 0.",
      better: null,
      needs: "loss_type kto",
    },
  ],
};
