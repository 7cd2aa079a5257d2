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
} as const;

/** Named sets of values. */
export type SlimePreset = "balanced" | "script" | "config" | "paper" | "reference-compat";

/** What the loss takes. `preset: "reference-compat"` adds the oddities of the authors' code. */
export interface SlimeOptions extends ValuesOf<typeof KEYS> {
  preset?: SlimePreset;
}

/** Settings of a SLIME run. */
export interface SlimeSettings extends ValuesOf<typeof KEYS> {
  objective: "slime";
  preset: SlimePreset;
}

/** The values of the authors' training script. */
export const SLIME_SCRIPT: ValuesOf<typeof KEYS> = {
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
      when: ({ lambda_w }) => lambda_w === 0,
      text: () => "0 switches the anchor off: the chosen likelihood is free to fall.",
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
  ],
  reward: "mean per token; three times that with preset reference-compat",
  metrics: [
    {
      key: "slime/anchor_loss",
      term: "Anchor, weighted by lambda_w",
      unit: "nats",
      definition: "Anchor term: −lambda_w × mean over pairs of the chosen log-probability per token.",
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
        "Stabiliser term on rejected tokens, lambda_l included. The three terms add up to the loss.",
      better: "lower",
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
