/** RLOO's hyperparameters and metrics. */
import type { ValuesOf } from "../../base/value-schema.ts";
import type { Method } from "../method.ts";
import { CLIP_METRICS, KL_METRIC, RATIO_METRICS, REWARD_METRICS } from "../rollout-metrics.ts";

/** The hyperparameters of RLOO, under TRL's names. */
const KEYS = {
  beta: {
    schema: { type: "number", minimum: 0, default: 0.05 },
    unit: "per nat",
    doc: "The KL to the reference, k1 summed over a completion, times beta is taken off its reward. 0: no reference is needed.",
    source: "TRL",
  },
  epsilon: {
    schema: { type: "number", minimum: 0, exclusiveMaximum: 1, default: 0.2 },
    unit: "none",
    doc: "A completion stops being pushed once its ratio has left 1 ± epsilon in the direction of the push; the ratio is that of the entire completion.",
    source: "TRL",
  },
  normalize_advantages: {
    schema: { type: "boolean", default: false },
    unit: "none",
    doc: "Makes the rollout's advantages of mean 0 and standard deviation 1.",
    source: "TRL",
  },
  reward_clip_range: {
    schema: {
      anyOf: [{ type: "array", items: { type: "number" }, minItems: 2 }, { type: "null" }],
      default: null,
    },
    unit: "none",
    doc: "Rewards below the first number are raised to it and above the second lowered to it, before the KL is taken off; null: as they are.",
    source: "TRL",
  },
} as const;

/** What the loss takes. */
export type RlooOptions = ValuesOf<typeof KEYS>;

/** Settings of an RLOO run. */
export interface RlooSettings extends RlooOptions {
  objective: "rloo";
}

/** RLOO (arXiv 2402.14740). */
export const rloo: Method<RlooSettings> = {
  label: "RLOO",
  over: "groups",
  needsReference: false,
  klWeight: "beta",
  ratio: "completion",
  learnsStill: ({ beta }) => (beta > 0 ? ["the KL to the reference (beta)"] : []),
  onPolicy: "only",
  learning_rate: { value: 1e-6, source: "TRL" },
  keys: KEYS,
  presets: null,
  checks: [
    {
      key: "reward_clip_range",
      severity: "error",
      when: ({ reward_clip_range: range }) =>
        range !== null && (range.length !== 2 || (range[0] ?? 0) >= (range[1] ?? 0)),
      text: ({ reward_clip_range }) =>
        `expected two numbers, the lower first, got [${reward_clip_range?.join(", ")}]. Write it as [-5, 5].`,
    },
  ],
  metrics: [...REWARD_METRICS, ...RATIO_METRICS, ...CLIP_METRICS, KL_METRIC],
};
