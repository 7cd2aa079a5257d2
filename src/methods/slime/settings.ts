/** SLIME's hyperparameters, presets and metrics. Equations are those of arXiv:2602.02383v2. */
import type { ValuesOf } from "../../base/value-schema.ts";
import type { Method, Preset } from "../method.ts";

/** The hyperparameters of SLIME. */
const KEYS = {
  lambda_w: {
    schema: { type: "number", minimum: 0 },
    unit: "none",
    doc: "Weight of the anchor −l_w, which raises the chosen completion's mean log-probability at any margin: λw, Eq. (6).",
  },
  lambda_l: {
    schema: { type: "number", minimum: 0 },
    unit: "none",
    doc: "Weight of the stabiliser, which pulls rejected tokens back up once they have become very unlikely: λl, Eq. (7).",
  },
  delta: {
    schema: { type: "number" },
    unit: "nats",
    doc: "The stabiliser acts on a rejected token once its log-probability falls below about −delta: δ, Eq. (7).",
  },
  margin_hard: {
    schema: { type: "number" },
    unit: "nats per token",
    doc: "Margin in nats per token from which the margin term is exactly 0: m_h, Eq. (8).",
  },
  margin_soft: {
    schema: { type: "number" },
    unit: "nats per token",
    doc: "Margin in nats per token at which the soft gate is half closed: m_s, Eq. (9).",
  },
  kappa: {
    schema: { type: "number", exclusiveMinimum: 0 },
    unit: "tokens per nat",
    doc: "Steepness of the soft gate, per nat: κ, Eq. (9).",
  },
  power: {
    schema: { type: "number", minimum: 1 },
    unit: "none",
    doc: "Power of the stabiliser, its steepness below −delta: p, Eq. (7).",
  },
  lambda_d: {
    schema: { type: "number", minimum: 0 },
    unit: "none",
    doc: "Weight of the margin term: λd, Eq. (10).",
  },
  lambda_start: {
    schema: { type: "number", minimum: 0, default: 0 },
    unit: "none",
    doc: "Weight of a second anchor, not in the paper: it lifts the chosen tokens that are less likely than at the start, and no others. 0: off.",
    source: "preftune",
  },
  start_margin: {
    schema: { type: "number", minimum: 0, default: 0 },
    unit: "nats",
    doc: "lambda_start lifts a chosen token up to its log-probability at the start plus this.",
    source: "preftune",
  },
  chosen_floor: {
    schema: { type: ["number", "null"], default: null },
    unit: "nats per token",
    doc: "Adjusts the anchor's weight after each step, so that the chosen completions' log-probabilities rise by this over the start, on the mean; 0: so that they do not fall. The weight begins at lambda_w + floor_gain × chosen_floor. null: it stays lambda_w.",
    source: "preftune",
  },
  floor_gain: {
    schema: { type: "number", minimum: 0, default: 5 },
    unit: "tokens per nat",
    doc: "With chosen_floor: weight added for each nat per token that the chosen completions lack.",
    source: "preftune",
  },
  floor_integral: {
    schema: { type: "number", minimum: 0, default: 0.2 },
    unit: "tokens per nat",
    doc: "With chosen_floor: weight added for good by each step for each nat per token that they lack.",
    source: "preftune",
  },
  floor_average: {
    schema: { type: "number", exclusiveMinimum: 0, maximum: 1, default: 0.2 },
    unit: "share",
    doc: "With chosen_floor: what a step's pairs count in the running mean of the chosen completions' change. 1: they alone.",
    source: "preftune",
  },
  lambda_w_max: {
    schema: { type: "number", exclusiveMinimum: 0, default: 5 },
    unit: "none",
    doc: "With chosen_floor: the largest weight that the anchor gets.",
    source: "preftune",
  },
} as const;

type Values = ValuesOf<typeof KEYS>;

/** Keys that the paper has not, each with a default. */
type Added = {
  [Key in keyof Values]: (typeof KEYS)[Key]["schema"] extends { default: unknown } ? Key : never;
}[keyof Values];

/** Named sets of values. */
export type SlimePreset = "balanced" | "script" | "config" | "paper" | "reference-compat";

/** What the loss takes. `preset: "reference-compat"` adds the oddities of the authors' code. What is left out is at its default. */
export interface SlimeOptions extends Omit<Values, Added>, Partial<Pick<Values, Added>> {
  preset?: SlimePreset;
}

/** The same with nothing left out. */
export interface WholeSlimeOptions extends Values {
  preset?: SlimePreset;
}

const DEFAULTS = Object.fromEntries(
  Object.entries(KEYS).flatMap(([key, { schema }]) => ("default" in schema ? [[key, schema.default]] : [])),
) as Pick<Values, Added>;

/** The options, those that are left out at their defaults. */
export function wholeOptions(options: SlimeOptions): WholeSlimeOptions {
  return { ...DEFAULTS, ...options };
}

/** Settings of a SLIME run. */
export interface SlimeSettings extends ValuesOf<typeof KEYS> {
  objective: "slime";
  preset: SlimePreset;
}

/** The values of the authors' training script. */
export const SLIME_SCRIPT: Omit<Values, Added> = {
  lambda_w: 0.1,
  lambda_l: 0.0005,
  delta: 1.25,
  margin_hard: 1.5,
  margin_soft: 1,
  kappa: 2.5,
  power: 2.5,
  lambda_d: 1,
};

/** The default first; docs/findings.md has the reason for it. The sources disagree: each is named for where it stands. */
const PRESETS: Readonly<Record<SlimePreset, Preset<SlimeSettings>>> = {
  balanced: {
    values: { ...SLIME_SCRIPT, lambda_w: 0.4, margin_hard: 2.5, margin_soft: 1.75 },
    source:
      "preftune's own studies, where it kept more likelihood than script at no less margin (docs/findings.md)",
  },
  script: { values: SLIME_SCRIPT, source: "the authors' training script, which made their released runs" },
  config: {
    values: { ...SLIME_SCRIPT, lambda_w: 0.8, delta: 0.5 },
    source: "defaults of the authors' configuration class",
  },
  paper: { values: { ...SLIME_SCRIPT, lambda_l: 0.1 }, source: "Section 4.1 of the paper" },
  "reference-compat": {
    values: SLIME_SCRIPT,
    source:
      "the authors' training script, with the oddities of their code: loss and rewards summed three times, " +
      "rejected tokens found by log-probability ≠ 0, N_l per micro-batch",
  },
};

/** SLIME (arXiv 2602.02383). */
export const slime: Method<SlimeSettings> = {
  label: "SLIME",
  over: "pairs",
  needsReference: false,
  ofMicroBatch: ({ preset }) => (preset === "reference-compat" ? "preset: reference-compat" : null),
  chosenWeight: "lambda_w",
  onPolicy: "also",
  learning_rate: { value: 1e-6, source: "TRL" },
  keys: KEYS,
  presets: PRESETS,
  checks: [
    {
      key: "margin_soft",
      severity: "warning",
      when: ({ margin_soft, margin_hard }) => margin_soft > margin_hard,
      text: ({ margin_soft, margin_hard }) =>
        `${margin_soft} is above margin_hard ${margin_hard}: the soft gate stays open up to the hard margin, so the loss stops at once there instead of fading before it.`,
    },
    {
      key: "lambda_w",
      severity: "warning",
      when: ({ lambda_w, lambda_start, chosen_floor }) =>
        lambda_w === 0 && lambda_start === 0 && chosen_floor === null,
      text: () => "0 switches the anchor off: the chosen likelihood is free to fall.",
    },
    {
      key: "lambda_w_max",
      severity: "error",
      when: ({ lambda_w, lambda_w_max, chosen_floor }) => chosen_floor !== null && lambda_w > lambda_w_max,
      text: ({ lambda_w, lambda_w_max }) =>
        `${lambda_w_max} is below lambda_w ${lambda_w}, which the weight begins with. Make it larger, or lambda_w smaller.`,
    },
    {
      key: "floor_gain",
      severity: "error",
      when: ({ floor_gain, floor_integral, chosen_floor }) =>
        chosen_floor !== null && floor_gain === 0 && floor_integral === 0,
      text: () =>
        "floor_gain and floor_integral are both 0, so chosen_floor would change nothing. Give one of them, or take chosen_floor out.",
    },
  ],
  inactive: [
    {
      keys: ["delta", "power"],
      because: "lambda_l",
      when: ({ lambda_l }) => lambda_l === 0,
      reason: "lambda_l is 0, so there is no stabiliser",
    },
    {
      keys: ["margin_hard", "margin_soft", "kappa"],
      because: "lambda_d",
      when: ({ lambda_d }) => lambda_d === 0,
      reason: "lambda_d is 0, so there is no margin term",
    },
    {
      keys: ["start_margin"],
      because: "lambda_start",
      when: ({ lambda_start }) => lambda_start === 0,
      reason: "lambda_start is 0, so nothing is compared with the start",
    },
    {
      keys: ["floor_gain", "floor_integral", "floor_average", "lambda_w_max"],
      because: "chosen_floor",
      when: ({ chosen_floor }) => chosen_floor === null,
      reason: "chosen_floor is null, so lambda_w stays as it is",
    },
  ],
  reward: "mean per token; three times that with preset reference-compat",
  metrics: [
    {
      key: "slime/anchor_loss",
      term: "Anchor, weighted by lambda_w",
      unit: "nats",
      definition:
        "Anchor term: −lambda_w × mean over pairs of the chosen log-probability per token; with chosen_floor the step's weight, in evaluations lambda_w.",
      better: "lower",
    },
    {
      key: "slime/margin_loss",
      term: "Margin term, weighted by lambda_d",
      unit: "nats",
      definition: "Margin term, lambda_d included.",
      better: "lower",
    },
    {
      key: "slime/rejected_penalty",
      term: "Stabiliser, weighted by lambda_l",
      unit: "nats",
      definition:
        "Stabiliser term on rejected tokens, lambda_l included. The terms, slime/start_anchor_loss among them, add up to the loss.",
      better: "lower",
    },
    {
      key: "slime/start_anchor_loss",
      term: "Anchor to the start, weighted by lambda_start",
      unit: "nats",
      definition:
        "Anchor to the start: lambda_start × mean over pairs of the mean over chosen tokens of how far each is below its log-probability at the start plus start_margin.",
      better: "lower",
      needs: "lambda_start",
      onPolicy: false,
    },
    {
      key: "slime/frac_chosen_tokens_fallen",
      unit: "share",
      definition:
        "Fraction of chosen tokens, each pair counted alike, that lambda_start lifts: below their log-probability at the start plus start_margin.",
      better: "lower",
      needs: "lambda_start",
      onPolicy: false,
    },
    {
      key: "slime/chosen_change",
      unit: "nats/token",
      definition:
        "Mean change of the chosen log-probability per token since the start, of the step's own pairs, before the step.",
      better: "higher",
      needs: "lambda_start or chosen_floor",
      onPolicy: false,
    },
    {
      key: "slime/lambda_w",
      unit: "",
      definition: "The anchor's weight in the step.",
      better: null,
      needs: "chosen_floor",
      onPolicy: false,
    },
    {
      key: "slime/margin_mean",
      unit: "nats/token",
      definition: "Mean margin: chosen − rejected log-probability per token.",
      better: "higher",
    },
    {
      key: "slime/frac_hard_satisfied",
      unit: "share",
      definition: "Fraction of pairs with a margin of at least margin_hard.",
      better: "higher",
    },
    {
      key: "slime/frac_soft_zone",
      unit: "share",
      definition: "Fraction of pairs with a margin between margin_soft and margin_hard.",
      better: null,
    },
    {
      key: "slime/frac_rejected_tokens_penalised",
      unit: "share",
      definition: "Fraction of rejected tokens whose log-probability is below −delta.",
      better: null,
    },
  ],
};
