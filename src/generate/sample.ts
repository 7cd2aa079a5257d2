/** Answers to many prompts at once, as tokens: what the collapse watch, evaluations and the quick start look at. */
import { at } from "../base/at.ts";
import { ConfigError, TorchError } from "../base/errors.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import type { DType } from "../torch/index.ts";
import { checkSampling } from "./check-request.ts";
import { Engine } from "./engine.ts";

/** How to draw answers. */
export interface SamplingOptions {
  /** Divides the logits before the softmax; 0, and all below 1e-5, is greedy. */
  temperature: number;
  /** Longest answer, in tokens. */
  maxNewTokens: number;
  /** Tokens that end an answer. They are not part of it. */
  stopIds: ReadonlySet<number>;
  /** Decides the draws. */
  seed: number;
  /** Answers to each prompt; default 1. */
  answersPerPrompt?: number;
  /** Prompts computed together; default 16. */
  promptsAtOnce?: number;
  /** Type of the activations; default that of the embedding. */
  dtype?: DType;
}

/** One answer. */
export interface SampledCompletion {
  /** Index of its prompt. */
  prompt: number;
  /** Tokens of the answer, without the one that ended it. */
  ids: number[];
  /** The token that ended it, or null when it was cut at `maxNewTokens`. */
  stopId: number | null;
}

/**
 * Answers to `prompts` (token ids), in order of the prompts.
 *
 * Each completion has separate random numbers, from the seed and its index: what else is in the batch does not change it.
 *
 * @throws {ConfigError} if a prompt is empty or an option is out of range
 * @throws {TorchError} if the model cannot be computed
 */
export function sampleCompletions(
  model: CausalLM,
  prompts: readonly (readonly number[])[],
  options: SamplingOptions,
): SampledCompletion[] {
  const { answersPerPrompt: n = 1, promptsAtOnce = 16, temperature, maxNewTokens, stopIds, seed } = options;
  checkOptions(prompts, options);
  using engine = new Engine({
    model,
    tokenizer: null,
    dtype: options.dtype ?? model.model.embed_tokens.weight.dtype,
    limits: { maxRunning: promptsAtOnce * n },
  });
  const failures: string[] = [];
  const answers = prompts.map((promptIds, prompt): SampledCompletion[] => {
    const own = Array.from({ length: n }, (): SampledCompletion => ({ prompt, ids: [], stopId: null }));
    const request = { promptIds, n, temperature, maxNewTokens, stopIds, seed, firstSeries: prompt * n };
    engine.submit(`${prompt}`, { ...plain, ...request }, (event) => {
      if (event.type === "error") failures.push(event.message);
      if (event.type === "token") own[event.answer]?.ids.push(event.id);
      if (event.type !== "end" || typeof event.stoppedBy !== "number") return;
      at(own, event.answer).stopId = event.stoppedBy;
    });
    return own;
  });
  while (engine.step());
  if (failures[0] !== undefined) throw new TorchError(failures[0]);
  return answers.flat();
}

const plain = {
  topK: null,
  topP: null,
  minP: null,
  repetitionPenalty: null,
  stop: [],
  logprobs: null,
  adapter: null,
} as const;

function checkOptions(prompts: readonly (readonly number[])[], options: SamplingOptions): void {
  const empty = prompts.findIndex((ids) => ids.length === 0);
  if (empty >= 0) throw new ConfigError(`prompt ${empty}: expected at least one token, got none.`);
  const { answersPerPrompt = 1, promptsAtOnce = 1, temperature, maxNewTokens } = options;
  checkSampling({ temperature, maxNewTokens, n: answersPerPrompt }, { n: "answersPerPrompt" });
  checkSampling({ n: promptsAtOnce }, { n: "promptsAtOnce" });
}
