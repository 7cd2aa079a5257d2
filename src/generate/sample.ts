/** Completions of many prompts at once, as tokens: rollouts, and what the collapse watch, evaluations and the quick start look at. */
import { setImmediate as turn } from "node:timers/promises";
import { at } from "../base/at.ts";
import { ConfigError, TorchError } from "../base/errors.ts";
import type { TokenSet } from "../base/token-set.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import type { DType } from "../torch/index.ts";
import { checkLaw, checkSampling } from "./check-request.ts";
import { Engine } from "./engine.ts";
import type { GenerateRequest, SamplingLogprob } from "./request.ts";

/** How to draw completions. */
export interface SamplingOptions
  extends Partial<
    Pick<GenerateRequest, "topK" | "topP" | "minP" | "repetitionPenalty" | "samplingLogprobs">
  > {
  /** Divides the logits before the softmax; 0, and all below 1e-5, is greedy. */
  temperature: number;
  /** Longest completion, in tokens. */
  maxNewTokens: number;
  /** Tokens that end a completion. They are not part of it. */
  stopIds: ReadonlySet<number>;
  /** Decides the draws. */
  seed: number;
  /** Completions of each prompt; default 1. */
  answersPerPrompt?: number;
  /** Only every so many-th prompt is completed, from `rank` on: what one of several ranks does. Default all. */
  share?: { rank: number; size: number };
  /** Prompts computed together; default 16. */
  promptsAtOnce?: number;
  /** What a prompt is called in messages; default "prompt 3", counted from 0. */
  nameOf?: (prompt: number) => string;
  /** Type of the activations; default that of the embedding. */
  dtype?: DType;
  /** Ends the sampling before its next pass: the promise is rejected with the signal's reason. */
  signal?: AbortSignal | undefined;
  /** Called after each pass: tokens drawn so far, those that ended a completion included. */
  onProgress?: (tokens: number) => void;
}

/** One completion. Its drawn tokens are `ids` and, where it has one, `stopId`. */
export interface SampledCompletion {
  /** Index of its prompt. */
  prompt: number;
  /** Tokens of the completion, without the one that ended it. */
  ids: number[];
  /** The token that ended it, or null when it was cut at `maxNewTokens`. */
  stopId: number | null;
  /**
   * With `samplingLogprobs`: ln p of each drawn token under the distribution it was drawn from, nats; the last is `stopId`'s, where there
   * is one. That distribution is softmax(logits / temperature), the logits after the repetition penalty, renormalised over `kept`.
   */
  logprobs?: Float32Array;
  /** With `samplingLogprobs`: for each drawn token, those that top-k, top-p and min-p kept in its place; null without them. */
  kept?: TokenSet[] | null;
}

/**
 * Completions of `prompts` (token ids), in order of the prompts: `answersPerPrompt` each.
 *
 * Each completion has separate random numbers, from the seed and its index: what else is in the batch does not change it.
 * Between two passes the event loop turns once. Memory: the KV cache of the prompts computed together, and what is
 * returned, of which `kept` has at most V / 8 bytes for each drawn token; nothing that a pass computed is held beside that.
 *
 * @throws {ConfigError} if a prompt is empty, an option is out of range, or log-probs are asked of greedy decoding
 * @throws {TorchError} if the model cannot be computed, or its numbers are not finite for a prompt, which is named; what others share a
 * pass with it is computed all the same
 */
export async function sampleCompletions(
  model: CausalLM,
  prompts: readonly (readonly number[])[],
  options: SamplingOptions,
): Promise<SampledCompletion[]> {
  const { answersPerPrompt: n = 1, promptsAtOnce = 16, signal, onProgress = () => {} } = options;
  const { nameOf = (prompt: number) => `prompt ${prompt}` } = options;
  const { rank, size } = options.share ?? { rank: 0, size: 1 };
  checkOptions(prompts, options);
  using engine = new Engine({
    model,
    tokenizer: null,
    dtype: options.dtype ?? model.model.embed_tokens.weight.dtype,
    limits: { maxRunning: promptsAtOnce * n },
  });
  const failures: string[] = [];
  const drafts = prompts.flatMap((promptIds, prompt) => {
    if (prompt % size !== rank) return [];
    const own = Array.from({ length: n }, () => new Draft(prompt));
    const request = { ...requestOf(options), promptIds, n, firstSeries: prompt * n };
    engine.submit(`${prompt}`, request, (event) => {
      if (event.type === "error") failures.push(`${nameOf(prompt)}: ${event.message}`);
      if (event.type === "token") at(own, event.answer).add(event);
      if (event.type === "end" && event.last !== null) at(own, event.answer).stop(event.last);
    });
    return own;
  });
  signal?.throwIfAborted();
  while (engine.step()) {
    onProgress(engine.stats.completionTokens);
    await turn();
    signal?.throwIfAborted();
  }
  onProgress(engine.stats.completionTokens);
  if (failures[0] !== undefined) {
    const others = failures.length > 1 ? ` So of ${failures.length - 1} other prompts.` : "";
    throw new TorchError(`${failures[0]}${others}`);
  }
  return drafts.map((draft) => draft.completion(options));
}

function requestOf(options: SamplingOptions): Omit<GenerateRequest, "promptIds" | "n"> {
  const { temperature, maxNewTokens, stopIds, seed } = options;
  const {
    topK = null,
    topP = null,
    minP = null,
    repetitionPenalty = null,
    samplingLogprobs = false,
  } = options;
  const draw = { temperature, topK, topP, minP, repetitionPenalty, samplingLogprobs };
  return { ...draw, maxNewTokens, stopIds, seed, stop: [], logprobs: null, adapter: null };
}

/** A completion under way. */
class Draft {
  readonly #prompt: number;
  readonly #ids: number[] = [];
  #stopId: number | null = null;
  readonly #logprobs: number[] = [];
  readonly #kept: TokenSet[] = [];

  constructor(prompt: number) {
    this.#prompt = prompt;
  }

  add({ id, sampling }: { id: number; sampling?: SamplingLogprob }): void {
    this.#ids.push(id);
    this.#note(sampling);
  }

  stop({ id, sampling }: { id: number; sampling?: SamplingLogprob }): void {
    this.#stopId = id;
    this.#note(sampling);
  }

  #note(sampling: SamplingLogprob | undefined): void {
    if (sampling === undefined) return;
    this.#logprobs.push(sampling.logprob);
    if (sampling.kept !== null) this.#kept.push(sampling.kept);
  }

  completion({ samplingLogprobs = false }: SamplingOptions): SampledCompletion {
    const drawn = { prompt: this.#prompt, ids: this.#ids, stopId: this.#stopId };
    if (!samplingLogprobs) return drawn;
    const kept = this.#kept.length > 0 ? this.#kept : null;
    return { ...drawn, logprobs: Float32Array.from(this.#logprobs), kept };
  }
}

function checkOptions(prompts: readonly (readonly number[])[], options: SamplingOptions): void {
  const empty = prompts.findIndex((ids) => ids.length === 0);
  if (empty >= 0) throw new ConfigError(`prompt ${empty}: expected at least one token, got none.`);
  const { answersPerPrompt = 1, promptsAtOnce = 1 } = options;
  const { seed: _, ...request } = requestOf(options);
  checkSampling({ ...request, n: answersPerPrompt }, { n: "answersPerPrompt" });
  checkSampling({ n: promptsAtOnce }, { n: "promptsAtOnce" });
  checkLaw(options);
}
