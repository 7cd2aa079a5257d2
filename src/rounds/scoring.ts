/** The rewards of answers: by reward functions, a reward model, or a judge behind an endpoint. */
import { join } from "node:path";
import { at } from "../base/at.ts";
import type { PhaseListener } from "../base/phase-listener.ts";
import { filling } from "../data/prompt-rows.ts";
import { parseEndpoint } from "../evaluate/answers/answerer.ts";
import type { JudgeSettings } from "../evaluate/judge/judging.ts";
import { type EnvironmentOptions, settleEnvironment } from "../forward/environment.ts";
import { inGroups } from "../methods/advantages.ts";
import { namedTensors } from "../nn/module.ts";
import { openJudgeReward } from "../online/judge-reward.ts";
import { openRewardModel, scoreCompletions } from "../online/reward-model.ts";
import { openRewards, type Rewards } from "../rewards/open-rewards.ts";
import type { RewardInput } from "../rewards/reward-function.ts";
import { totalRewards } from "../rewards/scored-completions.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import type { RoundSettings } from "../workbench/rounds/round-file.ts";
import type { AnswerGroup } from "./answers.ts";

/** What scoring needs besides the answers. */
export interface ScoringOptions {
  /** Directory of the model that wrote the answers. */
  model: string;
  text: { chatTemplate: string | null; enableThinking: boolean | null };
  environment: EnvironmentOptions;
  /** The judge's replies are kept there. */
  dir: string;
  onPhase: PhaseListener;
}

/** Who gives the scores, as labels name it. */
export function scorerName({ judge, reward_funcs, reward_model }: RoundSettings): string {
  if (judge !== null) return parseEndpoint(judge).model;
  if (reward_funcs === null) return reward_model ?? "";
  return reward_funcs.map(({ function: written, name }) => name ?? written).join(" + ");
}

/** A round's judge behind an endpoint. Its key is taken from PREFTUNE_JUDGE_KEY. */
export function judgeSettings(
  { judge_max_tokens: maxTokens, judge_extra, concurrency, timeout, max_retries: maxRetries }: RoundSettings,
  judge: string,
): JudgeSettings {
  return {
    judge: {
      ...parseEndpoint(judge),
      apiKey: process.env["PREFTUNE_JUDGE_KEY"] ?? null,
      ...{ temperature: null, maxTokens, retriesWithoutVerdict: 1, extra: judge_extra ?? {}, price: null },
    },
    limits: { timeoutMs: 1000 * timeout, maxRetries, requestsPerMinute: null, tokensPerMinute: null },
    concurrency,
    optionNames: { extra: "judge_extra", maxTokens: "judge_max_tokens" },
  };
}

/** Prompts whose answers are scored at a time. */
const promptsAtOnce = 16;

/**
 * The reward of every answer of each group, NaN where there is none.
 *
 * @throws {RewardError} if a reward function fails, or a judge gives too few verdicts
 * @throws {EndpointError} if the judge gives no answers; those so far are kept
 */
export async function scoreGroups(
  groups: readonly AnswerGroup[],
  settings: RoundSettings,
  options: ScoringOptions,
): Promise<number[][]> {
  await using scorer = await openScorer(settings, options);
  const scores: number[][] = [];
  const fill = filling(groups.map(({ columns }) => columns));
  const filled = groups.map((group) => ({ ...group, columns: fill(group.columns) }));
  for (let first = 0; first < groups.length; first += promptsAtOnce) {
    options.onPhase("prompts judged", first, groups.length);
    const some = filled.slice(first, first + promptsAtOnce);
    scores.push(...(await scorer.score(some)));
  }
  options.onPhase("prompts judged", groups.length, groups.length);
  return scores;
}

interface GroupScorer extends AsyncDisposable {
  score(groups: readonly AnswerGroup[]): Promise<number[][]>;
}

async function openScorer(
  settings: RoundSettings,
  { environment, dir, model }: ScoringOptions,
): Promise<GroupScorer> {
  const { judge, judge_mode: mode, reward_funcs, reward_model, reward_max_failures } = settings;
  if (reward_model !== null) return modelScorer(reward_model, model, environment);
  if (judge === null) {
    const { reward_weights, reward_timeout, max_completion_length } = settings;
    const limits = { reward_timeout, reward_max_failures, max_completion_length };
    return rewardsScorer(await openRewards(reward_funcs ?? [], limits), reward_weights);
  }
  const rewards = openJudgeReward({
    ...judgeSettings(settings, judge),
    ...{ dir: join(dir, "judge"), mode, reward_max_failures },
    ...{ budget: { requests: null, tokens: null, money: null }, onBudgetSpent: "stop" },
  });
  return rewardsScorer(rewards, null);
}

function rewardsScorer(rewards: Rewards, weights: readonly number[] | null): GroupScorer {
  return {
    async score(groups) {
      const sizes = groups.map(({ answers }) => answers.length);
      const origins = groups.flatMap(({ index, answers }) => answers.map(() => `prompt ${index + 1}`));
      const scored = await rewards.score(inputOf(groups), { groupSizes: sizes, origins });
      return inGroups(totalRewards(scored, weights ?? scored.functions.map(() => 1)), sizes);
    },
    [Symbol.asyncDispose]: () => rewards[Symbol.asyncDispose](),
  };
}

/** @param policy - the model that wrote the answers */
function modelScorer(dir: string, policy: string, given: EnvironmentOptions): GroupScorer {
  const environment = settleEnvironment(given);
  const model = openRewardModel(dir, loadTokenizer(policy), environment);
  const numerics = { dtype: environment.dtype, gradient_checkpointing: false, logits_chunk_size: null };
  return {
    async score(groups) {
      const asked = groups.map(({ promptIds, ids }) => ({ promptIds, completions: ids }));
      const rewards = scoreCompletions(model, asked, { numerics });
      const sizes = groups.map(({ answers }) => answers.length);
      return inGroups(
        rewards.map((reward) => (Number.isFinite(reward) ? reward : Number.NaN)),
        sizes,
      );
    },
    async [Symbol.asyncDispose]() {
      for (const [, tensor] of namedTensors(model)) tensor.dispose();
    },
  };
}

/** @param groups - all with the same columns */
function inputOf(groups: readonly AnswerGroup[]): RewardInput {
  const names = Object.keys(groups[0]?.columns ?? {});
  const each = <T>(of: (group: AnswerGroup, answer: number) => T): T[] =>
    groups.flatMap((group) => group.answers.map((_, answer) => of(group, answer)));
  return {
    prompts: each(({ row }) => row.prompt),
    completions: each(({ answers }, answer) => [{ role: "assistant", content: at(answers, answer) }]),
    completion_ids: each(({ ids }, answer) => at(ids, answer)),
    columns: Object.fromEntries(names.map((name) => [name, each(({ columns }) => columns[name])])),
    step: 0,
  };
}
