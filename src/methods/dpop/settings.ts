/** DPOP's hyperparameters. */
import type { ValuesOf } from "../../base/value-schema.ts";
import type { Method } from "../method.ts";

/** The hyperparameters of DPOP. */
const KEYS = {
  beta: {
    schema: { type: "number", exclusiveMinimum: 0, default: 0.1 },
    unit: "per nat",
    doc: "Scale of the reward, on sums of log-probabilities.",
    source: "as DPO",
  },
  dpop_lambda: {
    schema: { type: "number", minimum: 0, default: 50 },
    unit: "none",
    doc: "Weight of the penalty on a chosen completion that has become less likely than under the reference: λ, Eq. (3). 0 is DPO.",
    source: "arXiv 2402.13228",
  },
} as const;

/** What the loss takes. */
export type DpopOptions = ValuesOf<typeof KEYS>;

/** Settings of a DPOP run. */
export interface DpopSettings extends DpopOptions {
  objective: "dpop";
}

/** DPO-Positive (arXiv 2402.13228). */
export const dpop: Method<DpopSettings> = {
  label: "DPOP",
  over: "pairs",
  needsReference: true,
  onPolicy: "also",
  learning_rate: { value: 1e-6, source: "as DPO" },
  keys: KEYS,
  presets: null,
  reward: "beta × (log-probability − the reference's), sums over tokens, without the penalty",
  metrics: [
    {
      key: "dpop/penalty",
      unit: "nats",
      definition:
        "Mean over pairs of max(0, reference's − own log-probability of the chosen answer), before dpop_lambda.",
      better: "lower",
    },
    {
      key: "dpop/frac_penalised",
      unit: "share",
      definition: "Fraction of pairs whose chosen answer is less likely than under the reference.",
      better: "lower",
    },
  ],
};
