/** A rollout: prompts, and the completions that the model as it is samples of each. */
import { at } from "../base/at.ts";
import type { TokenSet } from "../base/token-set.ts";
import { describeOrigin, type Example, promptOf } from "../data/example.ts";
import { sampleCompletions } from "../generate/sample.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import type { DType } from "../torch/index.ts";

/** A completion that was sampled. */
export interface RolloutCompletion {
  /** Tokens drawn, with the end token where there was one. */
  ids: number[];
  /** 1 where a token counts in the loss; left out: all do, as of all that was sampled. */
  mask?: number[];
  /** Whether it ended by itself; else it was cut at the longest length. */
  ended: boolean;
  /** (tokens that count) Log-probs under the distribution that each was drawn from, nats. */
  logps: Float32Array;
  /** (tokens that count) The tokens that could be drawn in each place; null where all could. */
  kept: TokenSet[] | null;
}

/** The completions of one prompt. */
export interface RolloutGroup {
  /** Index of the prompt in the data set. */
  index: number;
  example: Example;
  completions: RolloutCompletion[];
}

/** How many completions each group has. */
export function sizesOf(groups: readonly Pick<RolloutGroup, "completions">[]): number[] {
  return groups.map(({ completions }) => completions.length);
}

/** Each completion with the row of its prompt and its number in the group, from 1. */
export function placesOf(
  groups: readonly Pick<RolloutGroup, "completions" | "example">[],
): { example: Example; completion: RolloutCompletion; number: number }[] {
  return groups.flatMap(({ example, completions }) =>
    completions.map((completion, i) => ({ example, completion, number: i + 1 })),
  );
}

/** The row of each completion, as messages name it. */
export function originsOf(groups: readonly Pick<RolloutGroup, "completions" | "example">[]): string[] {
  return placesOf(groups).map(({ example }) => describeOrigin(example.origin));
}

/** How a rollout is sampled. Names as in a run's configuration. */
export interface RolloutOptions {
  num_generations: number;
  max_completion_length: number;
  temperature: number;
  /** Default 1: all. */
  top_p?: number;
  /** Default 0: all. */
  top_k?: number;
  /** Default null: all. */
  min_p?: number | null;
  /** Default 1: none. */
  repetition_penalty?: number;
  /** Tokens that end a completion. */
  stopIds: ReadonlySet<number>;
  /** Decides the draws. */
  seed: number;
  /** Type of the activations. */
  dtype: DType;
  signal?: AbortSignal | undefined;
  /** Called with the tokens sampled so far. */
  onProgress?: (tokens: number) => void;
}

/**
 * Samples `num_generations` completions of each prompt. The model is used as it is, and nothing of its cache is kept.
 *
 * @throws {TorchError} naming a prompt's row, if the model's numbers are not finite for it
 */
export async function rollout(
  model: CausalLM,
  prompts: readonly { index: number; example: Example }[],
  options: RolloutOptions,
): Promise<RolloutGroup[]> {
  const { num_generations: n, max_completion_length, temperature, stopIds, seed, dtype } = options;
  const { top_p = 1, top_k = 0, min_p = null, repetition_penalty = 1 } = options;
  const sampled = await sampleCompletions(
    model,
    prompts.map(({ example }) => promptOf(example)),
    {
      ...{ temperature, stopIds, seed, dtype, answersPerPrompt: n, maxNewTokens: max_completion_length },
      ...{ topP: top_p === 1 ? null : top_p, topK: top_k === 0 ? null : top_k, minP: min_p },
      ...{ repetitionPenalty: repetition_penalty === 1 ? null : repetition_penalty, samplingLogprobs: true },
      nameOf: (prompt) => describeOrigin(at(prompts, prompt).example.origin),
      signal: options.signal,
      ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
    },
  );
  const groups = prompts.map((prompt): RolloutGroup => ({ ...prompt, completions: [] }));
  for (const { prompt, ids, stopId, logprobs = new Float32Array(0), kept = null } of sampled) {
    groups[prompt]?.completions.push({
      ids: stopId === null ? ids : [...ids, stopId],
      ended: stopId !== null,
      logps: logprobs,
      kept,
    });
  }
  return groups;
}
