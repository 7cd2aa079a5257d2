/** What the generation engine is asked and what it tells: plain data, which structured cloning carries to another process. */
import type { TokenSet } from "../base/token-set.ts";

/** One prompt to answer `n` times. Names follow transformers and the OpenAI API where those have one. */
export interface GenerateRequest {
  /** Tokens of the prompt, at least one. */
  promptIds: readonly number[];
  /** Answers to the prompt; they share the prompt's cache, computed once. */
  n: number;
  /** Longest answer, in tokens. 0: none, where log-probs of the prompt are asked for. */
  maxNewTokens: number;
  /** Divides the logits before the softmax; 0, and all below 1e-5, is greedy. */
  temperature: number;
  /** Sample from the k most likely tokens; null for all. */
  topK: number | null;
  /** Sample from the most likely tokens that together reach this probability; null for all. */
  topP: number | null;
  /** Sample from tokens at least this fraction as likely as the most likely one; null for all. */
  minP: number | null;
  /** Divides positive logits of tokens already in prompt or answer and multiplies negative ones, 0.01 to 100; null for none. */
  repetitionPenalty: number | null;
  /** Taken from the logits of tokens that the answer has already, as OpenAI defines it; default 0. */
  presencePenalty?: number;
  /** The same, times how often the answer has the token; default 0. */
  frequencyPenalty?: number;
  /** Added to the logits of tokens, by id, before any penalty; default none. */
  logitBias?: ReadonlyMap<number, number>;
  /** Tokens that end an answer. They are not part of its text. */
  stopIds: ReadonlySet<number>;
  /** Texts that end an answer. They, and what follows them, are not part of its text. */
  stop: readonly string[];
  /**
   * Decides the draws: the same request with the same seed gives the same answers, whatever else is running; on the CPU
   * with the same log-probs to the bit.
   */
  seed: number;
  /** Which of the seed's series of draws the first answer has; default 0. Answer i has the one i places further. */
  firstSeries?: number;
  /** How many of the most likely alternatives to return for each token, 0 for the token's own log-prob only, null for none. */
  logprobs: number | null;
  /**
   * Whether each token also comes with its log-prob under the distribution it was drawn from, and with the tokens that top-k, top-p and
   * min-p kept in its place; default false. Needs a temperature above 0.
   */
  samplingLogprobs?: boolean;
  /** The same as `logprobs` for each token of the prompt; default null. */
  promptLogprobs?: number | null;
  /**
   * Whether an answer's text continues the prompt's: together they are the text of all tokens. Default false: it is that of
   * the answer's own tokens, without the space that SentencePiece decoders leave out at the beginning of a text.
   */
  continuesPrompt?: boolean;
  /** Name of the adapter to answer with; null for the base model. */
  adapter: string | null;
}

/** A token that could have come, with its log-prob. */
export interface TokenLogprob {
  id: number;
  /** ln p under the model itself: before temperature, penalty and filters. */
  logprob: number;
}

/**
 * The distribution that a token was drawn from: softmax(logits / temperature), the logits after bias and penalties, renormalised over the
 * tokens that the filters kept.
 */
export interface SamplingLogprob {
  /** ln p of the token under that distribution; float64. */
  logprob: number;
  /** The tokens that top-k, top-p and min-p kept; null where none of them is on. */
  kept: TokenSet | null;
}

/** A token that came, with those that could have come in its place. */
export interface TokenChoice {
  id: number;
  /** ln p of the token under the model itself; null unless asked for, and for the first token of a prompt. */
  logprob: number | null;
  /** The most likely tokens in its place, in descending order; as many as asked for. */
  top: TokenLogprob[];
  /** The distribution it was drawn from; left out unless `samplingLogprobs` is on, and for tokens of the prompt. */
  sampling?: SamplingLogprob;
  /** Whether no other text is before it: there SentencePiece decoders leave out a space. */
  isFirst: boolean;
}

/** Log-probs of a part of the prompt. All parts come before the first answer's token. */
export interface PromptEvent {
  type: "prompt";
  tokens: TokenChoice[];
}

/** A token of an answer. */
export interface TokenEvent extends TokenChoice {
  type: "token";
  /** 0 … n - 1 */
  answer: number;
  /** What the answer's text grew by: empty while a character, or what may become a stop text, is incomplete. */
  text: string;
  /** Code points of the answer's text before the token; 0 where there is no tokenizer. */
  place: number;
}

/** An answer's end. */
export interface EndEvent {
  type: "end";
  /** 0 … n - 1 */
  answer: number;
  /** "stop": by a stop token or stop text; "length": cut at `maxNewTokens` or the model's longest context. */
  reason: "stop" | "length";
  /** Text that was held back and now turns out to belong to the answer. */
  text: string;
  /** The stop token or stop text that ended it; null for "length". */
  stoppedBy: number | string | null;
  /** The stop token with its log-prob and its place; null where none was drawn. It has no text. */
  last: (TokenChoice & { place: number }) | null;
}

/** What happens to a request, in order. `done` or `error` is the last; a cancelled request tells nothing more. */
export type GenerateEvent =
  | PromptEvent
  | TokenEvent
  | EndEvent
  | {
      type: "done";
      promptTokens: number;
      /** Of these, the tokens that were in the cache from earlier requests. */
      cachedTokens: number;
      /** Tokens drawn for all answers, those that ended an answer included. */
      completionTokens: number;
    }
  | { type: "error"; message: string };

/** Bounds of an engine. */
export interface EngineLimits {
  /** Answers computed at once; further ones wait. */
  maxRunning: number;
  /** Tokens (of prompts and answers) that the cache holds at most; requests wait for room. */
  maxCacheTokens: number;
  /** Whether requests find what earlier ones have computed of the same prompt. Needs no memory beside the cache. */
  keepsPrefixes: boolean;
}

/** What an engine is doing. */
export interface EngineStats {
  /** Answers under way. */
  running: number;
  /** Requests that have not started. */
  waiting: number;
  /** Prompt tokens computed since the start; a prompt counts once however many answers it has. */
  promptTokens: number;
  /** Prompt tokens that were in the cache already. */
  cachedTokens: number;
  /** Tokens drawn since the start. */
  completionTokens: number;
  /** Memory of the cache in use, what of the rest is kept for later requests, and what is reserved. */
  cacheBytesUsed: number;
  cacheBytesKept: number;
  cacheBytesReserved: number;
}

/**
 * The engine's face to a server: `src/generate/engine.ts` has it as a class. Nothing runs by itself: the owner calls
 * `step` while it returns true.
 */
export interface GenerationEngine {
  /**
   * Queues a request. Its events arrive inside later calls of `step`.
   *
   * @throws {ConfigError} if a value is out of range, the adapter unknown, or prompt and answer cannot fit the limits
   */
  submit(id: string, request: GenerateRequest, onEvent: (event: GenerateEvent) => void): void;
  /** Drops a request and frees its cache; nothing if it is unknown or over. */
  cancel(id: string): void;
  /** One pass: admits and computes waiting prompts, and adds a token to every running answer. False when idle. */
  step(): boolean;
  readonly stats: EngineStats;
}

/** `topK` of what users write: 0 and -1 are all tokens. */
export function topKOf(given: number | undefined): number | null {
  return given === undefined || given === 0 || given === -1 ? null : given;
}
