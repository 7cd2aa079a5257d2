/** A reward model that scores the completions of a rollout. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { ConfigError } from "../base/errors.ts";
import { shellWord } from "../base/shell-word.ts";
import { type CompletionGroup, completionBatches, usualTokensAtOnce } from "../data/completion-batches.ts";
import { packExamples } from "../data/packing.ts";
import { isAdapter, readAdapter } from "../formats/adapter.ts";
import { contextLength } from "../formats/model-config.ts";
import type { Environment } from "../forward/environment.ts";
import type { Numerics } from "../forward/numerics.ts";
import { rewardsOfBatch } from "../forward/score-rewards.ts";
import { loadRewardModel } from "../models/load-reward-model.ts";
import type { RewardModel } from "../models/reward-model.ts";
import { checkAdaptedBase } from "../runs/adapted-base.ts";
import { loadTokenizer, type Tokenizer } from "../text/tokenizer.ts";

/**
 * Loads the reward model in `dir` to score what a policy with `tokenizer` writes. The policy's tokens are the reward model's: they
 * are not made anew, so its chat template plays no part.
 *
 * @param dir - a model directory, or the PEFT adapter of a reward model whose base model is on this machine
 * @throws {ConfigError} if its tokenizer is another than the policy's, or an adapter's base model is not there
 * @throws {FormatError} if `dir` holds no reward model: no score layer, several outputs, a pickle
 */
export function openRewardModel(
  dir: string,
  tokenizer: Tokenizer,
  { device, dtype }: Pick<Environment, "device" | "dtype">,
): RewardModel {
  requireSameTokenizer(dir, tokenizer);
  const [model, adapter] = isAdapter(dir) ? [baseOf(dir), dir] : [dir, null];
  checkAdaptedBase({ model, adapter }, false);
  return loadRewardModel(model, { device, dtype, adapter });
}

/** The directory of the model that the adapter in `adapter` names as its base. @throws {ConfigError} if it is not there */
export function baseOf(adapter: string): string {
  const { baseModel } = readAdapter(adapter).config;
  if (baseModel !== null && existsSync(join(baseModel, "config.json"))) return baseModel;
  throw new ConfigError(
    `${adapter}: expected the base model of this adapter, ${baseModel ?? "which it does not name"}, to be a directory here, it is not. ` +
      `Merge them: preftune merge --model BASE --adapter ${shellWord(adapter)} --output NEW, and name NEW`,
  );
}

/** @throws {ConfigError} if the reward model in `dir` has another tokenizer than the policy */
export function requireSameTokenizer(dir: string, tokenizer: Tokenizer): void {
  if (loadTokenizer(dir).fingerprint === tokenizer.fingerprint) return;
  throw new ConfigError(
    `${dir}: expected a reward model with the policy's tokenizer (${tokenizer.directory}), its tokenizer.json is another. ` +
      "Completions are scored as the tokens that they were sampled as. Train a reward model from the policy's base: objective: reward",
  );
}

/** How completions are scored. */
export interface ScoringOptions {
  numerics: Numerics;
  /** Tokens at once; a text that has more is alone. Default 4096. */
  tokensAtOnce?: number;
}

/**
 * The reward of each completion, in the order of the groups and in them: the score of the state of its last token. A prompt is
 * computed once for its completions, or once for each part of them where they are more than `tokensAtOnce`.
 *
 * @returns NaN or infinite where the model's numbers grew too large
 * @throws {ConfigError} if a text is longer than the reward model's context
 */
export function scoreCompletions(
  model: RewardModel,
  groups: readonly CompletionGroup[],
  { numerics, tokensAtOnce = usualTokensAtOnce }: ScoringOptions,
): number[] {
  requireContext(groups, contextLength(model.config));
  return completionBatches(groups, tokensAtOnce, "rollout").flatMap((examples) => {
    const packed = packExamples(examples, { scores: true });
    return Array.from(rewardsOfBatch(model, { packed, indices: examples.map((_, i) => i) }, numerics));
  });
}

function requireContext(groups: readonly CompletionGroup[], context: number): void {
  for (const { promptIds, completions } of groups) {
    for (const ids of completions) {
      if (promptIds.length + ids.length <= context) continue;
      throw new ConfigError(
        `reward model: its context has ${context} tokens, a prompt with its completion has ${promptIds.length + ids.length}. ` +
          "Shorten max_length or max_completion_length, or take another reward model.",
      );
    }
  }
}
