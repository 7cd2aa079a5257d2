/** DPO's hyperparameters. */
import type { ValuesOf } from "../../base/value-schema.ts";
import type { Method } from "../method.ts";

/** The hyperparameters of DPO; defaults of its paper (arXiv 2305.18290). */
const KEYS = {
  beta: {
    schema: { type: "number", exclusiveMinimum: 0, default: 0.1 },
    unit: "per nat",
    doc: "Scale of the reward, on sums of log-probabilities. With loss_type ipo the target is 1 / (2 beta) nats per token.",
    source: "arXiv 2305.18290 and TRL",
  },
  label_smoothing: {
    schema: { type: "number", minimum: 0, exclusiveMaximum: 0.5, default: 0 },
    unit: "share",
    doc: "Assumed probability that a pair is labelled the wrong way round; not in the paper's equation.",
    source: "TRL",
  },
  loss_type: {
    schema: { enum: ["sigmoid", "ipo"], default: "sigmoid" },
    unit: "none",
    doc: "Form of the loss: sigmoid is DPO, Eq. (7), ipo its squared form.",
    source: "TRL",
  },
} as const;

/** What the loss takes. */
export type DpoOptions = ValuesOf<typeof KEYS>;

/** Settings of a DPO run. */
export interface DpoSettings extends DpoOptions {
  objective: "dpo";
}

/** DPO (arXiv 2305.18290), and IPO by its `loss_type`. */
export const dpo: Method<DpoSettings> = {
  label: "DPO",
  over: "pairs",
  needsReference: true,
  onPolicy: "also",
  learning_rate: { value: 1e-6, source: "TRL" },
  keys: KEYS,
  presets: null,
  inactive: [
    {
      keys: ["label_smoothing"],
      because: "loss_type",
      when: ({ loss_type }) => loss_type === "ipo",
      reason: "loss_type is ipo, a squared loss without labels to smooth",
    },
  ],
  reward: "beta × (log-probability − the reference's), sums over tokens",
  metrics: [],
};
