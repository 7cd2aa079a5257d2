/** SimPO's hyperparameters, presets and metrics. */
import type { ValuesOf } from "../../base/value-schema.ts";
import type { Method, Preset } from "../method.ts";

/** The hyperparameters of SimPO. */
const KEYS = {
  beta: {
    schema: { type: "number", exclusiveMinimum: 0 },
    unit: "tokens per nat",
    doc: "Scale of the reward, on means per token: β, Eq. (6). SimPO's authors use 2 to 10. Not comparable with DPO's.",
  },
  gamma_beta_ratio: {
    schema: { type: "number", minimum: 0 },
    unit: "nats per token",
    doc: "Target margin divided by beta, as SimPO's authors give it, 0 to 1. Give this or simpo_gamma.",
    rule: "the value of the preset, or simpo_gamma / beta",
    source: "arXiv 2405.14734",
  },
  simpo_gamma: {
    schema: { type: "number", minimum: 0 },
    unit: "none",
    doc: "Target margin times beta, as TRL gives it: γ, Eq. (6). Give this or gamma_beta_ratio.",
    rule: "the value of the preset, or gamma_beta_ratio × beta",
    source: "TRL name",
  },
  label_smoothing: {
    schema: { type: "number", minimum: 0, exclusiveMaximum: 0.5, default: 0 },
    unit: "share",
    doc: "Assumed probability that a pair is labelled the wrong way round; not in the paper's equation.",
    source: "TRL",
  },
  cpo_alpha: {
    schema: { type: "number", minimum: 0 },
    unit: "none",
    doc: "Weight of a likelihood term on the chosen completion (CPO-SimPO); 0 is SimPO as published.",
    source: "TRL name; TRL's default is 1.0",
  },
  allow_small_beta: {
    schema: { type: "boolean", default: false },
    unit: "none",
    doc: "Accept a SimPO beta below 1, where DPO's values land by mistake.",
    source: "preftune",
  },
} as const;

/** Named sets of values. */
export type SimpoPreset = "authors" | "slime-paper";

/** What the loss takes: of the margin's two forms `simpo_gamma`, that is γ. */
export type SimpoOptions = Omit<ValuesOf<typeof KEYS>, "gamma_beta_ratio" | "allow_small_beta">;

/** Settings of a SimPO run. */
export interface SimpoSettings extends ValuesOf<typeof KEYS> {
  objective: "simpo";
  preset: SimpoPreset;
}

/** The default first. */
const PRESETS: Readonly<Record<SimpoPreset, Preset<SimpoSettings>>> = {
  authors: {
    values: { beta: 2, gamma_beta_ratio: 0.5, label_smoothing: 0, cpo_alpha: 0 },
    source: "SimPO's authors (arXiv 2405.14734)",
  },
  "slime-paper": {
    values: { beta: 0.1, simpo_gamma: 2, label_smoothing: 0, cpo_alpha: 1 },
    source: "the SimPO baseline of the SLIME authors' code, that is CPO-SimPO with gamma / beta = 20",
  },
};

/** SimPO (arXiv 2405.14734), and CPO-SimPO with `cpo_alpha`. */
export const simpo: Method<SimpoSettings> = {
  label: "SimPO",
  over: "pairs",
  needsReference: false,
  chosenWeight: "cpo_alpha",
  onPolicy: "also",
  learning_rate: { value: 1e-6, source: "TRL" },
  keys: KEYS,
  presets: PRESETS,
  otherNames: {
    reference_free: "write an objective without a reference: `objective: simpo`, `cpo` or `orpo`",
  },
  derived: [
    {
      key: "simpo_gamma",
      from: "gamma_beta_ratio",
      value: ({ gamma_beta_ratio, beta }) => gamma_beta_ratio * beta,
      why: "gamma_beta_ratio × beta",
    },
    {
      key: "gamma_beta_ratio",
      from: "simpo_gamma",
      value: ({ simpo_gamma, beta }) => simpo_gamma / beta,
      why: "simpo_gamma / beta",
    },
  ],
  checks: [
    {
      key: "beta",
      severity: "error",
      when: ({ preset, beta, allow_small_beta }) => preset !== "slime-paper" && beta < 1 && !allow_small_beta,
      text: ({ beta }) =>
        `SimPO's beta acts on means per token and its authors use 2 to 10; ${beta} is in the range of DPO's. Give a beta of at least 1, or \`allow_small_beta: true\` where it is meant.`,
    },
  ],
  reward: "beta × mean per token",
  metrics: [
    {
      key: "nll_loss",
      term: "Likelihood term, not yet weighted by cpo_alpha",
      unit: "nats/token",
      definition:
        "Likelihood term on the chosen completion, before cpo_alpha. orpo: with preset trl on the prompt too.",
      better: "lower",
      needs: "cpo_alpha above 0, but for orpo",
    },
  ],
};
