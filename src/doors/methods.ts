/**
 * `preftune/methods`: the objectives, each a pure function of log-probs, and what one of your own is made of.
 * examples/custom-objective.ts trains with such a one.
 */
import "../base/node-version.ts";

export { type DpoOptions, dpo } from "../objectives/dpo.ts";
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
} from "../objectives/objective.ts";
export { sft } from "../objectives/sft.ts";
export { type SimpoOptions, simpo } from "../objectives/simpo.ts";
export { type SlimeOptions, slime } from "../objectives/slime.ts";
