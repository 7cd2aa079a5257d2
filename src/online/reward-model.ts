/** A reward model that scores the completions of a rollout. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { ConfigError } from "../base/errors.ts";
import type { Example } from "../data/example.ts";
import { packExamples } from "../data/packing.ts";
import { isAdapter, readAdapter } from "../formats/adapter.ts";
import { contextLength } from "../formats/model-config.ts";
import type { Environment } from "../forward/environment.ts";
import type { Numerics } from "../forward/numerics.ts";
import { rewardsOfBatch } from "../forward/score-rewards.ts";
import { loadRewardModel } from "../models/load-reward-model.ts";
import type { RewardModel } from "../models/reward-model.ts";
import { tellOtherForm } from "../runs/trained-form.ts";
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
  tellOtherForm({ model, adapter }, false);
  return loadRewardModel(model, { device, dtype, adapter });
}

/** The directory of the model that the adapter in `adapter` names as its base. @throws {ConfigError} if it is not there */
export function baseOf(adapter: string): string {
  const { baseModel } = readAdapter(adapter).config;
  if (baseModel !== null && existsSync(join(baseModel, "config.json"))) return baseModel;
  throw new ConfigError(
    `${adapter}: expected the base model of this adapter, ${baseModel ?? "which it does not name"}, to be a directory here, it is not. ` +
      `Merge them: preftune merge --model BASE --adapter ${adapter} --output NEW, and name NEW`,
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

/** A prompt's tokens, and those of its completions, end tokens included. */
export interface CompletionGroup {
  promptIds: readonly number[];
  completions: readonly (readonly number[])[];
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
  { numerics, tokensAtOnce = 4096 }: ScoringOptions,
): number[] {
  return batchesOf(model, groups, tokensAtOnce).flatMap((examples) => {
    const packed = packExamples(examples, { scores: true });
    return Array.from(rewardsOfBatch(model, { packed, indices: examples.map((_, i) => i) }, numerics));
  });
}

function batchesOf(model: RewardModel, groups: readonly CompletionGroup[], most: number): Example[][] {
  const context = contextLength(model.config);
  const batches: Example[][] = [];
  let tokens = Number.POSITIVE_INFINITY;
  for (const [i, { promptIds, completions }] of groups.entries()) {
    let part: Example | null = null;
    for (const ids of completions) {
      if (promptIds.length + ids.length > context) {
        throw new ConfigError(
          `reward model: its context has ${context} tokens, a prompt with its completion has ${promptIds.length + ids.length}. ` +
            "Shorten max_length or max_completion_length, or take another reward model.",
        );
      }
      const isNew: boolean = part === null || tokens + ids.length > most;
      if (isNew) {
        const added = promptIds.length + ids.length;
        if (tokens + added > most) {
          batches.push([]);
          tokens = 0;
        }
        part = { origin: { file: "rollout", line: i + 1 }, promptIds: [...promptIds], completions: [] };
        batches.at(-1)?.push(part);
        tokens += promptIds.length;
      }
      part?.completions.push({ ids: [...ids] });
      tokens += ids.length;
    }
  }
  return batches;
}
