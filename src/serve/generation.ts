/** From the fields of a request to what the engine is asked. */
import { deriveSeed } from "../base/random.ts";
import type { GenerateRequest } from "../generate/request.ts";
import { ApiError } from "./api-error.ts";
import type { SamplingFields } from "./request-tables.ts";

/** What the engine is asked with, besides the fields. */
export interface AskOptions {
  prompts: readonly (readonly number[])[];
  stopIds: ReadonlySet<number>;
  /** Alternatives to tell for each token; null: no log-probs. */
  logprobs: number | null;
  adapter: string | null;
  /** Longest answer that was asked for; null: none was. */
  asked: number | null;
  /** Longest answer where none was asked for. */
  fallback: number;
  /** The model's longest context, in tokens. */
  contextTokens: number;
  /** Decides the draws where no seed was asked for. */
  freshSeed: number;
}

/**
 * A request a prompt.
 *
 * @throws {ApiError} if a prompt and the answer asked for do not fit the model's context
 */
export function engineRequests(fields: Partial<SamplingFields>, options: AskOptions): GenerateRequest[] {
  const seed = uint32(fields.seed ?? options.freshSeed);
  const { top_k: topK = 0 } = fields;
  return options.prompts.map((promptIds, i) => ({
    promptIds,
    n: fields.n ?? 1,
    maxNewTokens: longestAnswer(promptIds.length, options),
    temperature: fields.temperature ?? 1,
    topK: topK > 0 ? topK : null,
    topP: fields.top_p ?? null,
    minP: fields.min_p ?? null,
    repetitionPenalty: fields.repetition_penalty ?? null,
    stopIds: options.stopIds,
    stop: typeof fields.stop === "string" ? [fields.stop] : (fields.stop ?? []),
    // a list of one prompt is that prompt
    seed: i === 0 ? seed : deriveSeed(seed, i),
    logprobs: options.logprobs,
    adapter: options.adapter,
  }));
}

function longestAnswer(promptTokens: number, { asked, fallback, contextTokens }: AskOptions): number {
  const room = contextTokens - promptTokens;
  const wanted = asked ?? Math.min(fallback, Math.max(room, 1));
  if (wanted <= room) return wanted;
  throw new ApiError(
    "tooLong",
    `The prompt has ${promptTokens} tokens and the answer may have ${wanted}; the model takes ${contextTokens} in all. ` +
      `Shorten the prompt${asked === null ? "" : ", or ask for fewer tokens"}.`,
  );
}

function uint32(value: number): number {
  return ((value % 2 ** 32) + 2 ** 32) % 2 ** 32;
}
