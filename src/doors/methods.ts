/**
 * `preftune/methods`: the objectives, each a pure function of log-probs, and what one of your own is made of.
 * examples/custom-objective.ts trains with such a one.
 */
import "../base/node-version.ts";

export { type DpoOptions, dpo } from "../methods/dpo/loss.ts";
export { objectiveOf } from "../methods/losses.ts";
export {
  type AnswerLogps,
  type AnswerObjective,
  type Metric,
  meanOf,
  type Objective,
  type ObjectiveResult,
  type PairLogps,
  type PairObjective,
  pairMetrics,
  type StepTotals,
  shareOf,
} from "../methods/objective.ts";
export { sft } from "../methods/sft/loss.ts";
export { type SimpoOptions, simpo } from "../methods/simpo/loss.ts";
export { type SlimeOptions, slime } from "../methods/slime/loss.ts";
export { DEFAULT_SLIME_PRESET, presetsOf, type SlimeSettings } from "../runs/objective-config.ts";
