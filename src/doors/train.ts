/**
 * `preftune/train`: the parts of a training step, for measurements that training itself does not make: a model prepared as a
 * run prepares it, scored, walked forward and backward, its objective evaluated.
 */
import "../base/node-version.ts";

export { type ConfigInput, loadConfig, type ResolvedConfig } from "../config/load-config.ts";
export type { CompletionGroup } from "../data/completion-batches.ts";
export {
  allCompletions,
  type Columns,
  type CompletionSlice,
  type DeviceBatch,
  type MicroBatch,
  toDevice,
} from "../forward/batch.ts";
export { settleEnvironment } from "../forward/environment.ts";
export { type Head, hiddenStates, tokenLogpsHead, valueHead } from "../forward/head.ts";
export type { Numerics } from "../forward/numerics.ts";
export { scoreBatch } from "../forward/score-batch.ts";
export type { TokenLogps } from "../forward/token-logps.ts";
export { walk } from "../forward/walk.ts";
export { evaluateObjective, objectiveType } from "../methods/objective.ts";
export { type NamedParameter, ParameterSet } from "../nn/parameter-set.ts";
export { openRewardModel, type ScoringOptions, scoreCompletions } from "../online/reward-model.ts";
export { measureScales, type ScaleOptions } from "../recipes/scale.ts";
export {
  openRewards,
  type RewardSettings,
  type Rewards,
  type ScoreOptions,
} from "../rewards/open-rewards.ts";
export { RewardError } from "../rewards/reward-error.ts";
export type { PromptOrCompletion, RewardFunction, RewardInput } from "../rewards/reward-function.ts";
export {
  type FunctionScores,
  type ScoredCompletions,
  totalRewards,
  type Unscored,
  unscoredCounts,
} from "../rewards/scored-completions.ts";
export { type ModelPlace, type RunTask, runTrial, scorePairs } from "../sweep/run-trial.ts";
export type { HeldOutPair } from "../sweep/trial.ts";
export { completionLogps, countsOf } from "../train/completion-logps.ts";
export { requireLanguageModel } from "../train/objective-head.ts";
export { prepareModel, type TrainedModel } from "../train/prepare-model.ts";
