/**
 * `preftune/train`: the parts of a training step, for measurements that training itself does not make: a model prepared as a
 * run prepares it, scored, walked forward and backward, its objective evaluated.
 */
import "../base/node-version.ts";

export type { NamedParameter } from "../optim/adamw.ts";
export type { ResolvedConfig } from "../runs/config-load.ts";
export { allAnswers, type DeviceBatch, toDevice } from "../forward/batch.ts";
export { settleEnvironment } from "../forward/environment.ts";
export { prepareModel, type TrainedModel } from "../train/prepare-model.ts";
export { scoreBatch } from "../forward/score.ts";
export {
  answerLogps,
  evaluateObjective,
  type MicroBatch,
  type Numerics,
  objectiveType,
} from "../train/step.ts";
export { walk } from "../forward/walk.ts";
