/** The rewards of a rollout: what the reward functions are given, what they gave, and the metrics of that. */
import { at } from "../base/at.ts";
import { ConfigError } from "../base/errors.ts";
import { deviation, inGroups, isDeadGroup, mean } from "../methods/advantages.ts";
import type { RolloutColumns } from "../methods/rollout.ts";
import type { RewardInput } from "../rewards/reward-function.ts";
import { type ScoredCompletions, totalRewards, unscoredCounts } from "../rewards/scored-completions.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { originsOf, type RolloutGroup, sizesOf } from "./rollout.ts";

/** What scores completions: loaded reward functions, a reward model, a judge. */
export interface Scorer {
  /** Names of what it scores by, for metrics. */
  readonly names: readonly string[];
  score(
    input: RewardInput,
    options: {
      groupSizes: readonly number[];
      /** The same completions as tokens, with their prompts. */
      groups: readonly RolloutGroup[];
      /** Completions of an evaluation's prompts; left out: those that are trained on. */
      isHeldOut?: boolean;
      /** Completions of the whole rollout, where these are a part of it that was drawn again; left out: they are all. */
      rolloutSize?: number;
      /** The row of each completion, FILE:LINE, for messages. */
      origins?: readonly string[];
      signal?: AbortSignal;
    },
  ): Promise<ScoredCompletions>;
}

/** A rollout and what it was given. */
export interface ScoredGroups {
  groups: RolloutGroup[];
  scores: ScoredCompletions;
  /** Weighted sums, one for each completion; NaN: unscorable. */
  rewards: number[];
}

/** A rollout that steps are made of. */
export interface CurrentRollout extends ScoredGroups {
  /** Which of the run's rollouts it is, from 0. */
  round: number;
  columns: RolloutColumns;
  metrics: Record<string, number>;
  /** Log-probs of the completions of the first step's part in it, with an older sampler of the others too; null before it. */
  firstLogps: Float32Array[] | null;
}

/** The old log-probs of an update after the first: those of the policy at the first, where they are known; else the sampler's. */
export function oldLogpsOf(
  groups: readonly RolloutGroup[],
  firstLogps: readonly Float32Array[] | null,
): Float32Array[] {
  // a completion that the loss leaves out has none in the first pass
  return groups
    .flatMap(({ completions }) => completions)
    .map(({ logps }, i) => {
      const first = firstLogps?.[i];
      return first?.length === logps.length ? first : logps;
    });
}

/** How rewards are added up. */
export interface RewardSum {
  /** One for each name of the scorer; null: 1 each. */
  reward_weights: readonly number[] | null;
  /** Taken off the reward of a completion that was cut; null: nothing. */
  missing_eos_penalty: number | null;
}

/** What reward functions are given of `groups`. */
function rewardInput(groups: readonly RolloutGroup[], tokenizer: Tokenizer, step: number): RewardInput {
  const rows = groups.flatMap(({ example, completions }) =>
    completions.map((completion) => {
      const { reward, origin } = example;
      if (reward === undefined) {
        throw new ConfigError(
          `${origin.file}:${origin.line}: expected a row read as a prompt to be rewarded`,
        );
      }
      return { completion, reward };
    }),
  );
  const names = new Set(rows.flatMap(({ reward }) => Object.keys(reward.columns)));
  return {
    prompts: rows.map(({ reward }) => reward.prompt),
    completions: rows.map(({ completion, reward }) => {
      const content = textOf(completion.ids, tokenizer);
      return typeof reward.prompt === "string" ? content : [{ role: "assistant", content }];
    }),
    completion_ids: rows.map(({ completion }) => completion.ids),
    columns: Object.fromEntries(
      [...names].map((name) => [name, rows.map(({ reward }) => reward.columns[name] ?? null)]),
    ),
    step,
  };
}

/** The text of a completion's tokens, without special ones, as TRL decodes it. */
export function textOf(ids: readonly number[], tokenizer: Tokenizer): string {
  return tokenizer.decode(ids, { skipSpecialTokens: true });
}

/** The weighted sum of each completion's rewards. */
function sumRewards(
  scores: ScoredCompletions,
  groups: readonly RolloutGroup[],
  { reward_weights, missing_eos_penalty }: RewardSum,
): number[] {
  const all = groups.flatMap(({ completions }) => completions);
  const totals = totalRewards(scores, reward_weights ?? scores.functions.map(() => 1));
  return totals.map((total, i) => (at(all, i).ended ? total : total - (missing_eos_penalty ?? 0)));
}

/** How completions are scored. */
export interface ScoreOptions extends RewardSum {
  /** Of the model that sampled them: gives their text. */
  tokenizer: Tokenizer;
  /** Optimiser steps that are done, for reward functions that change with it; default 0. */
  step?: number;
  /** Whether an evaluation asks; default: training does. */
  isHeldOut?: boolean;
  /** Completions of the whole rollout, where `groups` are drawn again; default: they are all. */
  rolloutSize?: number;
  signal?: AbortSignal | undefined;
}

/** The completions of `groups` with their scores and their weighted sums. */
export async function score(
  scorer: Scorer,
  groups: RolloutGroup[],
  { tokenizer, step = 0, isHeldOut = false, rolloutSize, signal, ...sum }: ScoreOptions,
): Promise<ScoredGroups> {
  const groupSizes = sizesOf(groups);
  const input = rewardInput(groups, tokenizer, step);
  const scores = await scorer.score(input, {
    groupSizes,
    groups,
    origins: originsOf(groups),
    isHeldOut,
    ...(rolloutSize === undefined ? {} : { rolloutSize }),
    ...(signal === undefined ? {} : { signal }),
  });
  return { groups, scores, rewards: sumRewards(scores, groups, sum) };
}

/** Indices of the groups whose rewards are all equal, or of which no completion could be scored. */
export function deadGroups({ groups, rewards }: Pick<ScoredGroups, "groups" | "rewards">): number[] {
  return inGroups(rewards, sizesOf(groups)).flatMap((own, g) => (isDeadGroup(own) ? [g] : []));
}

/** TRL's metrics of completions and rewards, means over the rollout. */
export function rolloutMetrics({ groups, scores }: ScoredGroups): Record<string, number> {
  const completions = groups.flatMap((group) => group.completions);
  const ended = completions.filter((completion) => completion.ended);
  const metrics: Record<string, number> = {
    ...lengths("length", completions),
    ...lengths("terminated_length", ended),
    "completions/clipped_ratio": 1 - ended.length / completions.length,
  };
  for (const scored of scores.functions) {
    const { name, values } = scored;
    const given = values.filter((value) => value !== null);
    const counts = unscoredCounts(scored);
    metrics[`rewards/${name}/mean`] = mean(given);
    metrics[`rewards/${name}/std`] = deviation(given);
    metrics[`rewards/${name}/unscored`] = counts.null;
    metrics[`rewards/${name}/failures`] = counts.error + counts.timeout + counts.not_finite;
    metrics[`rewards/${name}/not_finite`] = counts.not_finite;
    if (scored.noVerdict !== undefined) metrics[`rewards/${name}/no_verdict`] = scored.noVerdict.count;
  }
  return metrics;
}

/** How often what scores had to be asked again, which two equal runs differ in. */
export function retriesOf({ functions }: ScoredCompletions): Record<string, number> {
  const known = functions.flatMap(({ name, retries }) =>
    retries === undefined ? [] : [[`rewards/${name}/retries`, retries] as const],
  );
  return Object.fromEntries(known);
}

function lengths(name: string, completions: readonly { ids: readonly number[] }[]): Record<string, number> {
  const all = completions.map(({ ids }) => ids.length);
  return {
    [`completions/mean_${name}`]: all.length === 0 ? 0 : mean(all),
    [`completions/min_${name}`]: all.length === 0 ? 0 : Math.min(...all),
    [`completions/max_${name}`]: all.length === 0 ? 0 : Math.max(...all),
  };
}
