/** `preftune/online`: on-policy training in parts, for loops of rollouts of a program's own making. */
import "../base/node-version.ts";

export { groupAdvantages, leaveOneOutAdvantages, type RewardScaling } from "../methods/advantages.ts";
export { type IndexPair, pairsOf } from "../methods/pairing/pairs.ts";
export type { PreparedRollout, RolloutColumns, ScoredRollout } from "../methods/rollout.ts";
export type { PolicyReference } from "../online/policy-reference.ts";
export {
  type RolloutCompletion,
  type RolloutGroup,
  type RolloutOptions,
  rollout,
} from "../online/rollout.ts";
export {
  deadGroups,
  rolloutMetrics,
  type ScoredGroups,
  type ScoreOptions,
  type Scorer,
  score,
} from "../online/scored-rollout.ts";
export { type UpdateOptions, type UpdateResult, update } from "../online/update.ts";
export type { ValueModel } from "../online/value-model.ts";
export { openRolloutTraining, type RolloutTraining } from "../recipes/rollout-training.ts";
export { openRewards, type Rewards } from "../rewards/open-rewards.ts";
export type { ScoredCompletions } from "../rewards/scored-completions.ts";
