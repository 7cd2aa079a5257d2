/** ORPO's hyperparameters and presets. */
import type { ValuesOf } from "../../base/value-schema.ts";
import type { Method, Preset } from "../method.ts";

/** The hyperparameters of ORPO. */
const KEYS = {
  beta: {
    schema: { type: "number", exclusiveMinimum: 0, default: 0.1 },
    unit: "none",
    doc: "Weight of the odds-ratio term beside the likelihood: λ, Eq. (6).",
    source: "arXiv 2403.07691 and TRL",
  },
  nll_over: {
    schema: { enum: ["answer", "prompt_and_answer"] },
    unit: "none",
    doc: "Tokens of the likelihood term: those of the chosen answer, or those of its prompt too, but the first.",
  },
} as const;

/** Named sets of values. */
export type OrpoPreset = "paper" | "trl";

/** What the loss takes. */
export type OrpoOptions = ValuesOf<typeof KEYS>;

/** Settings of an ORPO run. */
export interface OrpoSettings extends OrpoOptions {
  objective: "orpo";
  preset: OrpoPreset;
}

const PRESETS: Readonly<Record<OrpoPreset, Preset<OrpoSettings>>> = {
  paper: { values: { nll_over: "answer" }, source: "arXiv 2403.07691, Eq. (2) and (6)" },
  trl: {
    values: { nll_over: "prompt_and_answer" },
    source: "TRL's trainer, whose likelihood term counts the prompt",
  },
};

/** ORPO (arXiv 2403.07691). */
export const orpo: Method<OrpoSettings> = {
  label: "ORPO",
  over: "pairs",
  needsReference: false,
  onPolicy: "also",
  learning_rate: { value: 1e-6, source: "TRL" },
  keys: KEYS,
  presets: PRESETS,
  reward: "beta × mean per token",
  metrics: [
    {
      key: "nll_loss",
      unit: "nats/token",
      definition:
        "Likelihood term on the chosen completion, before cpo_alpha. orpo: with preset trl on the prompt too.",
      better: "lower",
    },
    {
      key: "log_odds_ratio",
      unit: "nats",
      definition: "Mean of log σ(log-odds chosen − log-odds rejected).",
      better: "higher",
    },
    {
      key: "log_odds_chosen",
      unit: "nats",
      definition: "Mean difference of the log-odds, chosen − rejected.",
      better: "higher",
    },
  ],
};
