/** How tokens are drawn, and what is drawn. */
import type { Random } from "../base/random.ts";
import type { GenerateRequest, SamplingLogprob } from "./request.ts";

/** How a token is drawn. */
export type Sampling = Pick<
  GenerateRequest,
  | "temperature"
  | "topK"
  | "topP"
  | "minP"
  | "repetitionPenalty"
  | "presencePenalty"
  | "frequencyPenalty"
  | "logitBias"
  | "logprobs"
  | "samplingLogprobs"
>;

/** A row of logits and the draws from it. */
export interface ChoiceRow {
  sampling: Sampling;
  /** Tokens that the repetition penalty falls on. */
  seen: ReadonlySet<number>;
  /** Tokens of the answer so far, which presence and frequency penalty fall on; default none. */
  drawn?: readonly number[];
  /** A stream of numbers for each draw from this row. */
  randoms: readonly Pick<Random, "next">[];
}

/** A drawn token. */
export interface Choice {
  id: number;
  /** ln p under the model; null unless asked for. */
  logprob: number | null;
  /** The most likely tokens under the model, as many as asked for. */
  top: { id: number; logprob: number }[];
  /** The distribution it was drawn from; left out unless asked for. */
  sampling?: SamplingLogprob;
}
