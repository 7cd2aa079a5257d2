/** From the fields of a request to what the engine is asked. */
import { deriveSeed } from "../base/random.ts";
import { longestIn } from "../generate/answer-pages.ts";
import { type GenerateRequest, topKOf } from "../generate/request.ts";
import { ApiError, contextExceeded } from "./api-error.ts";
import { invalid } from "./request-fields.ts";
import type { SamplingFields } from "./request-tables.ts";

/** What limits an answer, in tokens; null: nothing does. */
export interface AnswerBounds {
  /** The model's longest context. */
  context: number;
  /** The longest answer that the server gives. */
  answer: number | null;
  /** The engine's cache. */
  cache: number | null;
}

/** What the engine is asked with, besides the fields. */
export interface AskOptions {
  prompts: readonly (readonly number[])[];
  stopIds: ReadonlySet<number>;
  /** Alternatives to report for each token; null: no log-probs. */
  logprobs: number | null;
  /**
   * "chat": a separate text; "continuation": continues a chat's last message; "completion": continues the prompt; "echo":
   * and has its log-probs too.
   */
  form: "chat" | "continuation" | "completion" | "echo";
  adapter: string | null;
  /** Token ids are below. */
  vocabSize: number;
  /** Whether the reply comes whole. */
  isWhole: boolean;
  /** Longest answer that was asked for; null: as long as there is room. */
  asked: number | null;
  bounds: AnswerBounds;
  /** Decides the draws where no seed was asked for. */
  freshSeed: number;
}

/** Log-probs of prompts that one reply may have, alternatives included, and of answers in a reply that comes whole: some 100 MB. */
const mostLogprobs = 2_000_000;

/**
 * A request a prompt. An answer is as long as asked for, where the model's context, the server's limit and its cache allow it.
 *
 * @throws {ApiError} if a prompt leaves no room for an answer, or log-probs of too many tokens are asked for
 */
export function engineRequests(fields: Partial<SamplingFields>, options: AskOptions): GenerateRequest[] {
  const seed = fields.seed ?? options.freshSeed;
  if (options.form === "echo") checkPromptLogprobs(options);
  const n = fields.n ?? 1;
  const logitBias = biasOf(fields.logit_bias ?? {}, options.vocabSize);
  return options.prompts.map((promptIds, i) => ({
    promptIds,
    n,
    maxNewTokens: longestAnswer(promptIds.length, n, options),
    temperature: fields.temperature ?? 1,
    topK: topKOf(fields.top_k),
    topP: fields.top_p ?? null,
    minP: fields.min_p ?? null,
    repetitionPenalty: fields.repetition_penalty ?? null,
    presencePenalty: fields.presence_penalty ?? 0,
    frequencyPenalty: fields.frequency_penalty ?? 0,
    logitBias,
    stopIds: options.stopIds,
    stop: typeof fields.stop === "string" ? [fields.stop] : (fields.stop ?? []),
    // a list of one prompt is that prompt
    seed: i === 0 ? seed : deriveSeed(seed, i),
    logprobs: options.logprobs,
    promptLogprobs: promptLogprobs(options),
    continuesPrompt: options.form !== "chat",
    adapter: options.adapter,
  }));
}

function biasOf(given: Readonly<Record<string, number>>, vocabSize: number): Map<number, number> {
  const bias = new Map(Object.entries(given).map(([id, value]) => [Number(id), value]));
  const stray = [...bias.keys()].find((id) => id >= vocabSize);
  if (stray === undefined) return bias;
  throw invalid("logit_bias", `expected token ids below ${vocabSize}, got ${stray}.`);
}

/** Without an answer the prompt's log-probs are what is computed, wanted or not. */
function promptLogprobs({ form, logprobs, asked }: AskOptions): number | null {
  return form === "echo" ? (logprobs ?? (asked === 0 ? 0 : null)) : null;
}

function checkPromptLogprobs({ prompts, logprobs }: AskOptions): void {
  const tokens = prompts.reduce((sum, ids) => sum + ids.length, 0);
  const wanted = tokens * (1 + (logprobs ?? 0));
  if (logprobs === null || wanted <= mostLogprobs) return;
  throw invalid(
    "logprobs",
    `expected at most ${mostLogprobs} log-probs of prompts in a reply, got ${wanted} for ${tokens} tokens. ` +
      "Ask for fewer alternatives, or send fewer prompts at once.",
  );
}

function longestAnswer(promptTokens: number, n: number, options: AskOptions): number {
  const { asked, bounds, form } = options;
  const { context, answer, cache } = bounds;
  const room = context - promptTokens;
  const param = form === "chat" || form === "continuation" ? "messages" : "prompt";
  if (room < (asked === 0 ? 0 : 1)) {
    throw contextExceeded({ contextTokens: context, prompt: String(promptTokens), param });
  }
  const longest = Math.min(asked ?? room, answer ?? room, room, mostTold(n, options));
  // without an answer there is the prompt alone, for which the engine looks
  if (cache === null || longest === 0) return longest;
  const fits = longestIn(cache, promptTokens, n);
  if (fits < 1) {
    throw new ApiError(
      "tooLong",
      `The server's cache of ${cache} tokens (--max-cache-tokens) has no room for ${n === 1 ? "an answer" : `${n} answers`} to a prompt of ${promptTokens}: ` +
        "shorten it, ask for fewer answers, or raise the limit.",
      { param },
    );
  }
  return Math.min(longest, fits);
}

/** Tokens of an answer whose log-probs have room in a reply that comes whole. */
function mostTold(n: number, { isWhole, logprobs, prompts }: AskOptions): number {
  if (!isWhole || logprobs === null) return Number.POSITIVE_INFINITY;
  return Math.max(1, Math.floor(mostLogprobs / (n * prompts.length * (1 + logprobs))));
}
