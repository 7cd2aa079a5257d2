/** Configuration keys of the objectives (a table). The values of presets stand in `objective-config.ts`. */
import type { FieldTable } from "./config-field.ts";
import type { ObjectiveKeys, ObjectiveName } from "./config-types.ts";
import { choice, flag, number, optional } from "./config-values.ts";

const SLIME: readonly ObjectiveName[] = ["slime"];
const SIMPO: readonly ObjectiveName[] = ["simpo"];
const FROM_PRESET = "the value of the preset";

/** Keys that say what is optimised. */
export const OBJECTIVE_FIELDS: FieldTable<ObjectiveKeys> = {
  objective: {
    type: choice(["slime", "dpo", "simpo", "sft"]),
    default: "slime",
    doc: "What is optimised.",
    source: "preftune",
  },
  preset: {
    type: optional(
      choice(["balanced", "script", "config", "paper", "reference-compat", "authors", "slime-paper"]),
    ),
    rule: "balanced for slime, authors for simpo, none otherwise",
    doc: "Named set of values. slime: balanced, script, config, paper, reference-compat; simpo: authors, slime-paper.",
    source: "docs/findings.md, arXiv 2602.02383, its released code, arXiv 2405.14734",
    objectives: ["slime", "simpo"],
  },
  lambda_w: {
    type: optional(number({ min: 0 })),
    rule: FROM_PRESET,
    doc: "Weight of the anchor on the mean log-probability of the chosen answer.",
    source: "preset",
    objectives: SLIME,
  },
  lambda_l: {
    type: optional(number({ min: 0 })),
    rule: FROM_PRESET,
    doc: "Weight of the stabiliser on the tokens of the rejected answer.",
    source: "preset",
    objectives: SLIME,
  },
  delta: {
    type: optional(number()),
    rule: FROM_PRESET,
    doc: "Nats below 0 at which the stabiliser of a rejected token sets in.",
    source: "preset",
    objectives: SLIME,
  },
  margin_hard: {
    type: optional(number()),
    rule: FROM_PRESET,
    doc: "Margin in nats per token from which the margin term is exactly 0.",
    source: "preset",
    objectives: SLIME,
  },
  margin_soft: {
    type: optional(number()),
    rule: FROM_PRESET,
    doc: "Margin in nats per token at which the soft gate is half closed.",
    source: "preset",
    objectives: SLIME,
  },
  kappa: {
    type: optional(number({ above: 0 })),
    rule: FROM_PRESET,
    doc: "Steepness of the soft gate, per nat.",
    source: "preset",
    objectives: SLIME,
  },
  power: {
    type: optional(number({ min: 1 })),
    rule: FROM_PRESET,
    doc: "Power of the stabiliser.",
    source: "preset",
    objectives: SLIME,
  },
  lambda_d: {
    type: optional(number({ min: 0 })),
    rule: FROM_PRESET,
    doc: "Weight of the margin term.",
    source: "preset",
    objectives: SLIME,
  },
  beta: {
    type: optional(number({ above: 0 })),
    rule: "0.1 for dpo; the value of the preset for simpo",
    doc: "Scale of the reward. dpo: on sums of log-probabilities; simpo: on means per token.",
    source: "DPO: arXiv 2305.18290 and TRL",
    objectives: ["dpo", "simpo"],
  },
  label_smoothing: {
    type: optional(number({ min: 0, below: 0.5 })),
    rule: "0",
    doc: "Assumed probability that a pair is labelled the wrong way round.",
    source: "TRL",
    objectives: ["dpo", "simpo"],
  },
  loss_type: {
    type: optional(choice(["sigmoid", "ipo"])),
    rule: "sigmoid",
    doc: "Form of the DPO loss.",
    source: "TRL",
    objectives: ["dpo"],
  },
  gamma_beta_ratio: {
    type: optional(number({ min: 0 })),
    rule: "the value of the preset, or simpo_gamma / beta",
    doc: "Target margin divided by beta, as SimPO's authors give it. Give this or simpo_gamma.",
    source: "arXiv 2405.14734",
    objectives: SIMPO,
  },
  simpo_gamma: {
    type: optional(number({ min: 0 })),
    rule: "the value of the preset, or gamma_beta_ratio × beta",
    doc: "Target margin, as TRL gives it. Give this or gamma_beta_ratio.",
    source: "TRL name",
    objectives: SIMPO,
  },
  cpo_alpha: {
    type: optional(number({ min: 0 })),
    rule: FROM_PRESET,
    doc: "Weight of a likelihood term on the chosen answer (CPO-SimPO); 0 is SimPO as published.",
    source: "TRL name; TRL's default is 1.0",
    objectives: SIMPO,
  },
  allow_small_beta: {
    type: flag(),
    default: false,
    doc: "Accept a SimPO beta below 1, where DPO's values land by mistake.",
    source: "preftune",
    objectives: SIMPO,
  },
};
