/** Checks of a request's values: each message names the value, what was expected and what came. */
import { ConfigError } from "../base/errors.ts";
import { didYouMean } from "../base/suggest.ts";
import { isGreedyAt } from "../base/temperature.ts";
import type { GenerateRequest } from "./request.ts";

/** What a request is held against. */
export interface RequestBounds {
  vocabSize: number;
  /** The model's longest context, in tokens. */
  context: number;
  maxRunning: number;
  /** Names of the adapters. */
  adapters: ReadonlySet<string>;
}

interface SamplingRule {
  expected: string;
  holds: (value: number) => boolean;
}

const whole = (least: number, most = Number.POSITIVE_INFINITY): SamplingRule => ({
  expected: `a whole number ${most === Number.POSITIVE_INFINITY ? `of at least ${least}` : `from ${least} to ${most}`}`,
  holds: (value) => Number.isSafeInteger(value) && value >= least && value <= most,
});

const finite: SamplingRule = { expected: "a finite number", holds: Number.isFinite };

/** Names of the values that `checkSampling` looks at. */
export type CheckedName =
  | "n"
  | "maxNewTokens"
  | "temperature"
  | "topK"
  | "topP"
  | "minP"
  | "repetitionPenalty"
  | "presencePenalty"
  | "frequencyPenalty"
  | "seed"
  | "logprobs";

const rules: Record<CheckedName, SamplingRule> = {
  n: whole(1),
  maxNewTokens: whole(1),
  temperature: {
    expected: "a number of at least 0",
    holds: (value) => value >= 0 && Number.isFinite(value),
  },
  topK: whole(1),
  topP: { expected: "a number above 0 and at most 1", holds: (value) => value > 0 && value <= 1 },
  minP: { expected: "a number from 0 to 1", holds: (value) => value >= 0 && value <= 1 },
  // beyond these, float32 no longer tells one penalised logit from another
  repetitionPenalty: {
    expected: "a number from 0.01 to 100 (1: none)",
    holds: (value) => value >= 0.01 && value <= 100,
  },
  presencePenalty: finite,
  frequencyPenalty: finite,
  seed: { expected: "a whole number", holds: Number.isSafeInteger },
  logprobs: whole(0),
};

/**
 * @param names - how the values are called where the user wrote them; default as in `GenerateRequest`
 * @throws {ConfigError} for the first value out of range
 */
export function checkSampling(
  values: Partial<Pick<GenerateRequest, CheckedName>>,
  names: Partial<Record<CheckedName, string>> = {},
): void {
  for (const name of Object.keys(rules) as CheckedName[]) {
    const value = values[name];
    if (!(name in values) || value === null || (value !== undefined && rules[name].holds(value))) continue;
    throw new ConfigError(`${names[name] ?? name}: expected ${rules[name].expected}, got ${value}.`);
  }
}

/** @throws {ConfigError} if log-probs of the draw are asked for and nothing is drawn */
export function checkLaw({
  temperature,
  samplingLogprobs = false,
}: Pick<GenerateRequest, "temperature" | "samplingLogprobs">): void {
  if (!samplingLogprobs || !isGreedyAt(temperature)) return;
  throw new ConfigError(
    `samplingLogprobs: expected a temperature above 0, got ${temperature}: below 0.00001 decoding is greedy and draws nothing, so there ` +
      "is no distribution to give log-probs of. Set a temperature such as 1.",
  );
}

/** @throws {ConfigError} for the first thing that cannot be answered */
export function checkRequest(request: GenerateRequest, bounds: RequestBounds): void {
  // a prompt's log-probs can be had without an answer
  const onlyPrompt = request.maxNewTokens === 0 && (request.promptLogprobs ?? null) !== null;
  checkSampling(onlyPrompt ? { ...request, maxNewTokens: 1 } : request);
  checkSampling({ logprobs: request.promptLogprobs ?? null }, { logprobs: "promptLogprobs" });
  checkLaw(request);
  const { promptIds, n, stop, adapter } = request;
  if (promptIds.length === 0) throw new ConfigError("the prompt: expected at least one token, got none.");
  const stray = promptIds.find((id) => !Number.isSafeInteger(id) || id < 0 || id >= bounds.vocabSize);
  if (stray !== undefined) {
    throw new ConfigError(
      `the prompt: expected token ids below ${bounds.vocabSize}, the model's vocabulary, got ${stray}.`,
    );
  }
  if (promptIds.length > bounds.context - (onlyPrompt ? 0 : 1)) {
    throw new ConfigError(
      `the prompt has ${promptIds.length} tokens, and the model's context ends at ${bounds.context}. Shorten it.`,
    );
  }
  if (n > bounds.maxRunning) {
    throw new ConfigError(`n: expected at most ${bounds.maxRunning} answers at once, got ${n}.`);
  }
  checkBias(request);
  if (stop.includes("")) throw new ConfigError(`stop: expected texts that are not empty, got "".`);
  if (adapter !== null && !bounds.adapters.has(adapter)) {
    const known = [...bounds.adapters];
    const list = known.length > 0 ? `those loaded are ${known.join(", ")}` : "none is loaded";
    throw new ConfigError(`there is no adapter "${adapter}"; ${list}.${didYouMean(adapter, known)}`);
  }
}

function checkBias({ logitBias }: GenerateRequest): void {
  for (const [id, bias] of logitBias ?? []) {
    if (!Number.isFinite(bias)) {
      throw new ConfigError(`logitBias of token ${id}: expected a finite number, got ${bias}.`);
    }
  }
}
