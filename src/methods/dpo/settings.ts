/** DPO's hyperparameters: the forms of its loss, mixtures of them, and how tokens and pairs are weighted. */
import type { ValuesOf } from "../../base/value-schema.ts";
import type { Check, InactiveRule, Method, MethodMetric } from "../method.ts";

/** Forms of the loss, in the order of the documentation. */
const LOSS_TYPES = [
  "sigmoid",
  "sigmoid_norm",
  "ipo",
  "hinge",
  "robust",
  "bco_pair",
  "nca_pair",
  "apo_zero",
  "apo_down",
  "sft",
] as const;

/** A form of the loss. */
export type DpoLossType = (typeof LOSS_TYPES)[number];

/** The hyperparameters of DPO; defaults of its paper (arXiv 2305.18290). */
const KEYS = {
  beta: {
    schema: { type: "number", exclusiveMinimum: 0, default: 0.1 },
    unit: "per nat",
    doc: "Scale of the reward, on sums of log-probabilities. With loss_type sigmoid_norm on means per token, where 5 is usual; with ipo the target is 1 / (2 beta) nats per token.",
    source: "arXiv 2305.18290 and TRL",
  },
  label_smoothing: {
    schema: { type: "number", minimum: 0, exclusiveMaximum: 0.5, default: 0 },
    unit: "share",
    doc: "Assumed probability that a pair is labelled the wrong way round; not in the paper's equation. Of sigmoid, sigmoid_norm and robust; TRL ignores it with the first two.",
    source: "TRL",
  },
  loss_type: {
    schema: {
      anyOf: [
        { enum: LOSS_TYPES as typeof LOSS_TYPES },
        { type: "array", minItems: 1, items: { enum: LOSS_TYPES as typeof LOSS_TYPES } },
      ],
      default: "sigmoid",
    },
    expected:
      `one of ${LOSS_TYPES.map((type) => `"${type}"`).join(", ")}, or a list of them (docs/objectives.md: why not TRL's others)` as string,
    unit: "none",
    doc: "Form of the loss, or a list of forms that are added up: sigmoid is DPO, Eq. (7), and [sigmoid, sft] RPO. docs/objectives.md has them all.",
    source: "TRL",
  },
  loss_weights: {
    schema: { anyOf: [{ type: "array", items: { type: "number" } }, { type: "null" }], default: null },
    unit: "none",
    doc: "With a list as loss_type: the weight of each. null: 1 each.",
    source: "TRL",
  },
  ld_alpha: {
    schema: { anyOf: [{ type: "number", minimum: 0, maximum: 1 }, { type: "null" }], default: null },
    unit: "none",
    doc: "Weight of an answer's tokens beyond the length of the shorter answer, in the model's sums and the reference's (LD-DPO). null: 1.",
    source: "arXiv 2409.06411; TRL",
  },
  use_weighting: {
    schema: { type: "boolean", default: false },
    unit: "none",
    doc: "Weigh each pair by how likely the model itself is to give its answers (WPO).",
    source: "arXiv 2406.11827; TRL",
  },
} as const;

type DpoValues = ValuesOf<typeof KEYS>;

/** What the loss takes. What is left out is at its default. */
export type DpoOptions = Pick<DpoValues, "beta" | "label_smoothing" | "loss_type"> & Partial<DpoValues>;

/** Settings of a DPO run. */
export interface DpoSettings extends DpoValues {
  objective: "dpo";
}

/** The forms that are added up, one or more. */
export function lossTypesOf({ loss_type }: Pick<DpoOptions, "loss_type">): DpoLossType[] {
  return typeof loss_type === "string" ? [loss_type] : loss_type;
}

const smoothed: readonly DpoLossType[] = ["sigmoid", "sigmoid_norm", "robust"];

const CHECKS: readonly Check<DpoSettings>[] = [
  {
    key: "loss_weights",
    severity: "error",
    when: (settings) =>
      settings.loss_weights !== null && settings.loss_weights.length !== lossTypesOf(settings).length,
    text: (settings) =>
      `expected ${lossTypesOf(settings).length} numbers, one for each of loss_type (${lossTypesOf(settings).join(", ")}), got ${settings.loss_weights?.length}.`,
  },
  {
    key: "loss_type",
    severity: "error",
    when: (settings) => new Set(lossTypesOf(settings)).size < lossTypesOf(settings).length,
    text: (settings) =>
      `${lossTypesOf(settings).join(", ")}: a form is there twice. Name each once, and give it its weight in loss_weights.`,
  },
  {
    key: "loss_type",
    severity: "error",
    when: (settings) => lossTypesOf(settings).every((type) => type === "sft"),
    text: () =>
      "sft alone has no pairs and no reference. Set objective: sft, which trains on chosen answers too, or name another form beside it.",
  },
  {
    key: "beta",
    severity: "warning",
    when: (settings) => lossTypesOf(settings).includes("sigmoid_norm") && settings.beta < 1,
    text: ({ beta }) =>
      `with sigmoid_norm it scales means per token, where about 5 is usual; ${beta} learns slowly.`,
  },
];

const INACTIVE: readonly InactiveRule<DpoSettings>[] = [
  {
    keys: ["label_smoothing"],
    because: "loss_type",
    when: (settings) => !lossTypesOf(settings).some((type) => smoothed.includes(type)),
    reason:
      "label_smoothing is of sigmoid, sigmoid_norm and robust (ipo, say, has no labels to smooth), and loss_type names none of them",
  },
];

/** Each part of a sum by itself. */
const PARTS: readonly MethodMetric[] = LOSS_TYPES.map((type) => ({
  key: `loss/${type}`,
  unit: type === "sft" ? "nats/token" : "nats",
  definition: `The part ${type} of the loss, before its weight.`,
  better: "lower",
  needs: `a list with ${type} as loss_type`,
}));

/** DPO (arXiv 2305.18290), and its relatives by `loss_type`. */
export const dpo: Method<DpoSettings> = {
  label: "DPO",
  over: "pairs",
  needsReference: true,
  onPolicy: "also",
  learning_rate: { value: 1e-6, source: "TRL" },
  keys: KEYS,
  presets: null,
  checks: CHECKS,
  inactive: INACTIVE,
  otherNames: {
    rpo_alpha: "write `loss_type: [sigmoid, sft]` and `loss_weights: [1, …]` with the weight as the second",
    f_divergence_type: "only the reverse KL is offered, TRL's default; leave it out",
    discopop_tau: "discopop is not offered: see docs/objectives.md",
  },
  reward:
    "beta × (log-probability − the reference's), sums over tokens, weighted by ld_alpha where it is given",
  metrics: [
    ...PARTS,
    {
      key: "wpo/weight",
      unit: "",
      definition: "Mean weight of a pair: the product of its answers' weights.",
      better: null,
      needs: "use_weighting",
    },
  ],
};
