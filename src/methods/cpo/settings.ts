/** CPO's hyperparameters. */
import type { ValuesOf } from "../../base/value-schema.ts";
import type { Method } from "../method.ts";

/** The hyperparameters of CPO; TRL's names and defaults. */
const KEYS = {
  beta: {
    schema: { type: "number", exclusiveMinimum: 0, default: 0.1 },
    unit: "per nat",
    doc: "Scale of the reward, on sums of log-probabilities. With loss_type ipo the target is 1 / (2 beta) nats per token.",
    source: "arXiv 2401.08417 and TRL",
  },
  label_smoothing: {
    schema: { type: "number", minimum: 0, exclusiveMaximum: 0.5, default: 0 },
    unit: "share",
    doc: "Assumed probability that a pair is labelled the wrong way round; of sigmoid.",
    source: "TRL",
  },
  loss_type: {
    schema: { enum: ["sigmoid", "hinge", "ipo"], default: "sigmoid" },
    expected: 'one of "sigmoid", "hinge", "ipo" (docs/objectives.md has TRL\'s others)',
    unit: "none",
    doc: "Form of the preference term: sigmoid is CPO, Eq. (4); hinge and ipo are TRL's.",
    source: "TRL",
  },
  cpo_alpha: {
    schema: { type: "number", minimum: 0, default: 1 },
    unit: "none",
    doc: "Weight of the likelihood term on the chosen completions' tokens. 0: none.",
    source: "arXiv 2401.08417 and TRL",
  },
} as const;

/** What the loss takes. */
export type CpoOptions = ValuesOf<typeof KEYS>;

/** Settings of a CPO run. */
export interface CpoSettings extends CpoOptions {
  objective: "cpo";
}

/** CPO (arXiv 2401.08417). */
export const cpo: Method<CpoSettings> = {
  label: "CPO",
  over: "pairs",
  needsReference: false,
  chosenWeight: "cpo_alpha",
  onPolicy: "also",
  learning_rate: { value: 1e-6, source: "TRL" },
  keys: KEYS,
  presets: null,
  inactive: [
    {
      keys: ["label_smoothing"],
      because: "loss_type",
      when: ({ loss_type }) => loss_type !== "sigmoid",
      reason: "label_smoothing is of sigmoid alone",
    },
  ],
  reward: "beta × log-probability, sums over tokens; per token with loss_type ipo",
  metrics: [
    {
      key: "nll_loss",
      unit: "nats/token",
      definition:
        "Likelihood term on the chosen completion, before cpo_alpha. orpo: with preset trl on the prompt too.",
      better: "lower",
      needs: "cpo_alpha above 0, but for orpo",
    },
  ],
};
