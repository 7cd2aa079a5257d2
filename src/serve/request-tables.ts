/** What /v1/chat/completions and /v1/completions take, field by field (tables). */
import { z } from "zod";
import { JsonNumber, numberOf } from "../text/json-number.ts";
import {
  type FieldTable,
  flagField,
  nameField,
  numberField,
  type ServedField,
  wholeField,
} from "./request-fields.ts";
import { unservedChat, unservedCompletions } from "./unserved-fields.ts";

/** Bounds of what one request may ask for. */
export interface RequestLimits {
  /** Answers to a prompt: `n`. */
  maxAnswers: number;
  /** Prompts of a request to /v1/completions. */
  maxPrompts: number;
  /** Longest answer, in tokens; null: as long as the model's context allows. Requests for longer ones end there. */
  maxNewTokens: number | null;
  /** Tokens that the engine's cache holds; null: no limit. */
  maxCacheTokens: number | null;
}

/** The bounds unless others are given. */
export const REQUEST_LIMITS: Readonly<RequestLimits> = {
  maxAnswers: 8,
  maxPrompts: 256,
  maxNewTokens: null,
  maxCacheTokens: null,
};

/** What both routes take. Names as in OpenAI's API; `top_k`, `min_p` and `repetition_penalty` as in transformers. */
export interface SamplingFields {
  model: string;
  stream?: boolean;
  stream_options?: {
    include_usage?: boolean | null | undefined;
    include_obfuscation?: false | null | undefined;
    continuous_usage_stats?: false | null | undefined;
  };
  n?: number;
  max_tokens?: number;
  temperature?: number;
  top_p?: number;
  top_k?: number;
  min_p?: number;
  repetition_penalty?: number;
  presence_penalty?: number;
  frequency_penalty?: number;
  logit_bias?: Record<string, number>;
  stop?: string | string[];
  /** Of 32 bits: what was asked for is taken modulo 2^32. */
  seed?: number;
}

/** What /v1/chat/completions takes. */
export interface ChatFields extends SamplingFields {
  messages: object[];
  max_completion_tokens?: number;
  logprobs?: boolean;
  top_logprobs?: number;
  /** Variables of the chat template, such as `enable_thinking`. */
  chat_template_kwargs?: Record<string, unknown>;
}

/** What /v1/completions takes. */
export interface CompletionFields extends SamplingFields {
  prompt: string | string[] | number[] | number[][];
  logprobs?: number;
  echo?: boolean;
}

const maxMessages = 1000;
/** OpenAI takes 4; tasks of lm-eval have more. */
const maxStops = 32;
const maxStopLength = 200;

const promptCache = ["prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"];
const ignored = ["user", "metadata", "safety_identifier", ...promptCache];

const atLeastOne: ServedField<number> = { schema: z.int().min(1), expected: "a whole number of at least 1" };

const stopText = z.string().min(1).max(maxStopLength);

/** Every decoding step applies them. */
const maxBiases = 1024;

function isBias(value: unknown): boolean {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const entries = Object.entries(value);
  return (
    entries.length <= maxBiases &&
    entries.every(
      ([id, bias]) =>
        /^(0|[1-9]\d{0,8})$/.test(id) && typeof bias === "number" && bias >= -100 && bias <= 100,
    )
  );
}

/** A prompt or several. Written out: zod would list an error for each of 500,000 tokens. */
function isPrompt(value: unknown, maxPrompts: number): boolean {
  if (typeof value === "string") return true;
  if (!Array.isArray(value)) return false;
  if (isTokens(value)) return true;
  const isOfOne = value.length > 0 && value.length <= maxPrompts;
  return isOfOne && (value.every((each) => typeof each === "string") || value.every(isTokens));
}

function isTokens(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0 && value.every((id) => Number.isSafeInteger(id) && id >= 0);
}

function isSeed(value: unknown): boolean {
  const number = numberOf(value);
  return number !== null && Number.isInteger(number) && Math.abs(number) <= 2 ** 63;
}

/** The remainder of a seed by 2^32, of all its digits: neighbours beyond 2^53 are different seeds. */
function engineSeed(seed: number | JsonNumber): number {
  const digits = seed instanceof JsonNumber && !seed.isFloat ? seed.text : Number(seed);
  return Number(BigInt.asUintN(32, BigInt(digits)));
}

function sampling(limits: RequestLimits): FieldTable<SamplingFields>["served"] {
  return {
    model: nameField,
    stream: flagField,
    stream_options: {
      schema: z.strictObject({
        include_usage: z.boolean().nullish(),
        // padding against listeners, which a reply has only where it is asked for
        include_obfuscation: z.literal(false).nullish(),
        // vLLM's
        continuous_usage_stats: z.literal(false).nullish(),
      }),
      expected: `an object like {"include_usage": true}`,
    },
    n: {
      ...wholeField(1, limits.maxAnswers),
      expected: `a whole number from 1 to ${limits.maxAnswers} (the server's --max-answers)`,
    },
    max_tokens: atLeastOne,
    temperature: numberField(0, 2),
    top_p: { schema: z.number().gt(0).max(1), expected: "a number above 0 and at most 1" },
    top_k: { schema: z.int().min(-1), expected: "a whole number; 0 or -1 for all tokens" },
    min_p: numberField(0, 1),
    repetition_penalty: numberField(0.01, 10),
    presence_penalty: numberField(-2, 2),
    frequency_penalty: numberField(-2, 2),
    logit_bias: {
      schema: z.custom<Record<string, number>>(isBias),
      expected: `an object of at most ${maxBiases} numbers from -100 to 100 by token id, like {"50256": -100}`,
    },
    stop: {
      schema: z.union([stopText, z.array(stopText).max(maxStops)]),
      expected: `a string or a list of at most ${maxStops}, each of 1 to ${maxStopLength} characters`,
    },
    seed: {
      schema: z.custom<number | JsonNumber>(isSeed).transform(engineSeed),
      expected: "a whole number of at most 64 bits",
      keepsNumbers: true,
    },
  };
}

/** The fields of /v1/chat/completions. */
export function chatTable(limits: RequestLimits): FieldTable<ChatFields> {
  const served: FieldTable<ChatFields>["served"] = {
    ...sampling(limits),
    messages: {
      schema: z.array(z.looseObject({})).min(1).max(maxMessages),
      expected: `1 to ${maxMessages} messages like {"role": "user", "content": "..."}`,
      keepsNumbers: true,
    },
    max_completion_tokens: atLeastOne,
    logprobs: flagField,
    top_logprobs: wholeField(0, 20),
    chat_template_kwargs: {
      schema: z.record(z.string(), z.unknown()),
      expected: "an object",
      keepsNumbers: true,
    },
  };
  return { served, unserved: unservedChat, ignored: [...ignored, "parallel_tool_calls"] };
}

/** The fields of /v1/completions. */
export function completionTable(limits: RequestLimits): FieldTable<CompletionFields> {
  const prompt: ServedField<CompletionFields["prompt"]> = {
    schema: z.custom<CompletionFields["prompt"]>((value) => isPrompt(value, limits.maxPrompts)),
    expected: `a string, a list of token ids, or a list of at most ${limits.maxPrompts} of either (the server's --max-prompts)`,
  };
  return {
    served: {
      ...sampling(limits),
      prompt,
      max_tokens: { schema: z.int().min(0), expected: "a whole number; 0 with echo alone" },
      logprobs: wholeField(0, 20),
      echo: flagField,
    },
    unserved: unservedCompletions,
    ignored,
  };
}
