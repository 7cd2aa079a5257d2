/**
 * Values of the objectives: the presets with their sources, and the settings an objective is built from.
 */
import type { ObjectiveName, RunConfig, SimpoPreset, SlimePreset } from "./config-types.ts";

/** Settings of SLIME. Margins and `delta` in nats per token. */
export interface SlimeSettings {
  objective: "slime";
  preset: SlimePreset;
  lambdaW: number;
  lambdaL: number;
  delta: number;
  marginHard: number;
  marginSoft: number;
  kappa: number;
  power: number;
  lambdaD: number;
  /** Reproduce the oddities of the released code: see `reference-compat` in the presets. */
  referenceCompat: boolean;
}

/** Settings of DPO; `beta` on sums of log-probabilities. */
export interface DpoSettings {
  objective: "dpo";
  beta: number;
  labelSmoothing: number;
  lossType: "sigmoid" | "ipo";
}

/** Settings of SimPO; `beta` on means per token, and both forms of the target margin. */
export interface SimpoSettings {
  objective: "simpo";
  preset: SimpoPreset;
  beta: number;
  gammaBetaRatio: number;
  simpoGamma: number;
  labelSmoothing: number;
  cpoAlpha: number;
}

/** SFT has no values of its own. */
export interface SftSettings {
  objective: "sft";
}

/** What an objective is built from. */
export type ObjectiveSettings = SlimeSettings | DpoSettings | SimpoSettings | SftSettings;

/** A named set of values and where they were published. */
export interface Preset {
  values: Partial<RunConfig>;
  source: string;
}

const SCRIPT: Partial<RunConfig> = {
  lambda_w: 0.1,
  lambda_l: 0.0005,
  delta: 1.25,
  margin_hard: 1.5,
  margin_soft: 1,
  kappa: 2.5,
  power: 2.5,
  lambda_d: 1,
};

/**
 * Presets of SLIME (arXiv 2602.02383), the default first; docs/findings.md has the reason for it. The sources disagree, so
 * each of the others is named for where it stands.
 */
export const SLIME_PRESETS: Readonly<Record<SlimePreset, Preset>> = {
  balanced: {
    values: { ...SCRIPT, lambda_w: 0.4, margin_hard: 2.5, margin_soft: 1.75 },
    source:
      "preftune's own studies, where it kept more likelihood than script at no less margin (docs/findings.md)",
  },
  script: { values: SCRIPT, source: "the authors' training script, which made their released runs" },
  config: {
    values: { ...SCRIPT, lambda_w: 0.8, delta: 0.5 },
    source: "defaults of the authors' configuration class",
  },
  paper: { values: { ...SCRIPT, lambda_l: 0.1 }, source: "a secondary write-up of the method" },
  "reference-compat": {
    values: SCRIPT,
    source:
      "the authors' training script, with the oddities of their code: loss and rewards summed three times, " +
      "rejected tokens found by log-probability ≠ 0, N_l per micro-batch",
  },
};

/** The preset that is taken where none is named. */
export const DEFAULT_SLIME_PRESET = Object.keys(SLIME_PRESETS)[0] as SlimePreset;

/** Presets of SimPO, the default first. */
export const SIMPO_PRESETS: Readonly<Record<SimpoPreset, Preset>> = {
  authors: {
    values: { beta: 2, gamma_beta_ratio: 0.5, label_smoothing: 0, cpo_alpha: 0 },
    source: "SimPO's authors (arXiv 2405.14734)",
  },
  "slime-paper": {
    values: { beta: 0.1, simpo_gamma: 2, label_smoothing: 0, cpo_alpha: 1 },
    source: "the SimPO baseline of the SLIME authors' code, that is CPO-SimPO with gamma / beta = 20",
  },
};

/** Values of DPO (arXiv 2305.18290); SFT has none. */
const DPO_DEFAULTS: Partial<RunConfig> = { beta: 0.1, label_smoothing: 0, loss_type: "sigmoid" };

/** Names of the presets of `objective`, the default first; empty where it has none. */
export function presetsOf(objective: ObjectiveName): readonly string[] {
  if (objective === "slime") return Object.keys(SLIME_PRESETS);
  return objective === "simpo" ? Object.keys(SIMPO_PRESETS) : [];
}

/** The values an objective starts from, before any is set on its own. */
export function presetValues(objective: ObjectiveName, preset: string | null): Partial<RunConfig> {
  if (objective === "slime") return SLIME_PRESETS[(preset ?? DEFAULT_SLIME_PRESET) as SlimePreset].values;
  if (objective === "simpo") return SIMPO_PRESETS[(preset ?? "authors") as SimpoPreset].values;
  return objective === "dpo" ? DPO_DEFAULTS : {};
}

/**
 * The settings of the configured objective.
 *
 * @param config - a resolved configuration, in which the values of the objective are filled in
 */
export function resolveObjective(config: RunConfig): ObjectiveSettings {
  switch (config.objective) {
    case "slime":
      return slimeSettings(config);
    case "dpo":
      return {
        objective: "dpo",
        beta: filled(config, "beta"),
        labelSmoothing: filled(config, "label_smoothing"),
        lossType: config.loss_type ?? "sigmoid",
      };
    case "simpo":
      return {
        objective: "simpo",
        preset: (config.preset ?? "authors") as SimpoPreset,
        beta: filled(config, "beta"),
        gammaBetaRatio: filled(config, "gamma_beta_ratio"),
        simpoGamma: filled(config, "simpo_gamma"),
        labelSmoothing: filled(config, "label_smoothing"),
        cpoAlpha: filled(config, "cpo_alpha"),
      };
    case "sft":
      return { objective: "sft" };
  }
}

function slimeSettings(config: RunConfig): SlimeSettings {
  return {
    objective: "slime",
    preset: (config.preset ?? DEFAULT_SLIME_PRESET) as SlimePreset,
    lambdaW: filled(config, "lambda_w"),
    lambdaL: filled(config, "lambda_l"),
    delta: filled(config, "delta"),
    marginHard: filled(config, "margin_hard"),
    marginSoft: filled(config, "margin_soft"),
    kappa: filled(config, "kappa"),
    power: filled(config, "power"),
    lambdaD: filled(config, "lambda_d"),
    referenceCompat: config.preset === "reference-compat",
  };
}

function filled(config: RunConfig, key: keyof RunConfig): number {
  const value = config[key];
  if (typeof value !== "number") throw new TypeError(`${key} of a ${config.objective} run is not filled in`);
  return value;
}
