/** Requests that an engine runs, and their answers. */
import { ConfigError } from "../base/errors.ts";
import { deriveSeed, Random } from "../base/random.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import type { PageSpan } from "../nn/kv-cache.ts";
import type { ChoiceRow } from "./choice.ts";
import { CompletionText, type TokenDecoder } from "./completion-text.ts";
import type { GenerateEvent, GenerateRequest } from "./request.ts";

/** A request, waiting or under way. */
export interface EngineRequest {
  id: string;
  request: GenerateRequest;
  onEvent: (event: GenerateEvent) => void;
  model: CausalLM;
  /** Longest answer that fits the model's context. */
  maxNewTokens: number;
  /** Pages it takes at most. */
  pages: number;
  /** The part of the prompt that is in the cache; after all of it the answers have it. */
  prompt: PageSpan;
  /** Tokens of the prompt that have been computed, here or by an earlier request. */
  computed: number;
  /** Those of an earlier request. */
  cached: number;
  answers: Sample[];
  completionTokens: number;
}

/** One of its answers. */
export interface Sample {
  job: EngineRequest;
  index: number;
  /** Prompt and answer, without the token drawn last. */
  span: PageSpan;
  ids: number[];
  seen: Set<number>;
  random: Random;
  text: CompletionText | null;
  isOver: boolean;
}

/** The answers to a prompt, before their first token. */
export function samplesOf(job: EngineRequest, tokenizer: TokenDecoder | null): Sample[] {
  const { promptIds, n, seed, firstSeries = 0, stop, repetitionPenalty, continuesPrompt } = job.request;
  return Array.from(
    { length: n },
    (_, index): Sample => ({
      job,
      index,
      span: { pages: [], length: 0 },
      ids: [],
      seen: new Set(repetitionPenalty === null ? [] : promptIds),
      random: new Random(deriveSeed(seed, firstSeries + index)),
      text: tokenizer === null ? null : new CompletionText(tokenizer, stop, continuesPrompt ? promptIds : []),
      isOver: false,
    }),
  );
}

/** Whether all of its prompt is in the cache. */
export function isComputed({ computed, request }: EngineRequest): boolean {
  return computed === request.promptIds.length;
}

/** An answer as the row of logits that its next token is drawn from. */
export function choiceRow({ job, seen, ids, random }: Sample): ChoiceRow {
  return { sampling: job.request, seen, drawn: ids, randoms: [random] };
}

/** That a request takes more tokens of cache than there are. */
export function tooLarge(tokens: number, limit: number): ConfigError {
  return new ConfigError(
    `prompt and answers may take ${tokens} tokens of cache, and there are ${limit}. ` +
      "Ask for fewer or shorter answers, or raise the cache's limit.",
  );
}
