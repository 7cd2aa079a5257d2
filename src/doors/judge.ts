/** `preftune/judge`: pairs of texts judged by a model behind an OpenAI-style endpoint, in both orders, and kept. */
import "../base/node-version.ts";

export type { Question } from "../evaluate/answers/questions.ts";
export { outcomeOf } from "../evaluate/judge/judged-pair.ts";
export { writeJudgments } from "../evaluate/judge/judged-texts.ts";
export { type JudgeSettings, openJudging } from "../evaluate/judge/judging.ts";
export { judgePairs, OWN_PAIR_PROMPT, type PairTask, pairTasks } from "../evaluate/judge/pair-tasks.ts";
export { verdictReader } from "../evaluate/judge/verdicts.ts";
export {
  JudgeBudgetError,
  type JudgeReward,
  type JudgeRewardSettings,
  openJudgeReward,
} from "../online/judge-reward.ts";
