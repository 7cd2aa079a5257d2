/**
 * `preftune/methods`: every method with its hyperparameters, its loss, a pure function of log-probs, and what one of your
 * own is made of; examples/custom-objective.ts and rollout-objective.ts train with such ones.
 */
import "../base/node-version.ts";

export { loadMethod } from "../config/load-config.ts";
export { presetsOf } from "../config/method-keys.ts";
export { groupAdvantages, rewardMetrics } from "../methods/advantages.ts";
export { type MethodName, type MethodSettings, methods, type SettingsOf } from "../methods/index.ts";
export { losses, objectiveOf } from "../methods/losses.ts";
export type { Hyperparameter, Method, Preset } from "../methods/method.ts";
export {
  type CompletionLogps,
  type CompletionObjective,
  groupIndex,
  type Metric,
  meanOf,
  needsReference,
  type Objective,
  type ObjectiveResult,
  type PairLogps,
  type PairObjective,
  pairMetrics,
  type StepTotals,
  shareOf,
  sumByCompletion,
} from "../methods/objective.ts";
export { onRollouts } from "../methods/pairing/on-rollouts.ts";
export { type IndexPair, pairsOf } from "../methods/pairing/pairs.ts";
export type { PairingOptions } from "../methods/pairing/settings.ts";
export type { PreparedRollout, ScoredRollout } from "../methods/rollout.ts";
