/** `preftune/judge`: pairs of texts judged by a model behind an OpenAI-style endpoint, in both orders, and kept. */
import "../base/node-version.ts";

export { outcomeOf } from "../judge/judged-pair.ts";
export { writeJudgments } from "../judge/judged-texts.ts";
export { judgePairs, OWN_PAIR_PROMPT, type PairTask, pairTasks } from "../judge/pair-tasks.ts";
export type { Question } from "../judge/questions.ts";
export { verdictReader } from "../judge/verdicts.ts";
export { type JudgeSettings, openJudging } from "../recipes/judging.ts";
