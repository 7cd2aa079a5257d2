/** What the server's two processes say to each other: the HTTP process asks, the engine process answers. */

import type { Stage } from "../base/stages.ts";
import type { Quantisation } from "../formats/quantisation.ts";
import type {
  EndEvent,
  EngineStats,
  GenerateEvent,
  GenerateRequest,
  PromptEvent,
  TokenEvent,
} from "../generate/request.ts";
import type { Failure } from "../process/failure.ts";
import type { TokenName } from "./token-names.ts";

/** What an engine process is made from. */
export interface EngineSettings {
  /** Model directory. */
  model: string;
  /** Adapter directories by the names that requests use. */
  adapters: Readonly<Record<string, string>>;
  /** As in a run's configuration. */
  device: string;
  dtype: "auto" | "float32" | "bfloat16";
  /** How the weights are held; null: as they are stored. */
  quantise: Quantisation | null;
  threads: number | null;
  /** Answers computed at once. */
  maxRunning: number;
  /** Tokens that the cache holds at most; null: no limit but `maxRunning`. */
  maxCacheTokens: number | null;
  /** Whether requests find what earlier ones have computed of the same prompt. */
  keepsPrefixes: boolean;
}

/** A message to the engine process. The first one is `start`. */
export type EngineCommand =
  | { type: "start"; settings: EngineSettings }
  | { type: "submit"; id: string; request: GenerateRequest }
  | { type: "cancel"; id: string };

/** What the engine process is doing, sent along with everything else it says. */
export interface EngineReport {
  stats: EngineStats;
  /** Memory of the process, in bytes. */
  residentBytes: number;
  /** Tensors in the process; their number when idle stays the same. */
  liveTensors: number;
}

/** A token as log-probs show it. */
export interface ShownToken extends TokenName {
  id: number;
  /** ln p under the model itself. */
  logprob: number;
}

/** A token with its log-probs. */
export interface TokenLogprobs {
  /** A prompt's first token has no log-prob. */
  token: Omit<ShownToken, "logprob"> & { logprob: number | null };
  /** The most likely tokens in its place, most likely first; null for a prompt's first token. */
  top: ShownToken[] | null;
  /** Code points of the text before it. */
  place: number;
}

/** The engine's token event in words instead of ids, so that the HTTP process needs no tokenizer. */
export interface ToldToken extends Pick<TokenEvent, "type" | "answer" | "text"> {
  /** null unless log-probs were asked for. */
  logprobs: TokenLogprobs | null;
}

/** The same for an answer's end, with the token that ended it. */
export interface ToldEnd extends Omit<EndEvent, "last"> {
  last: TokenLogprobs | null;
}

/** The same for a part of the prompt. Where the tokens stand is known where the prompt was made. */
export interface ToldPrompt extends Pick<PromptEvent, "type"> {
  tokens: Omit<TokenLogprobs, "place">[];
}

/** What a request can meet with: the engine's events, and what comes before or instead of them. */
export type SubmissionEvent =
  | Exclude<GenerateEvent, TokenEvent | EndEvent | PromptEvent>
  | ToldToken
  | ToldEnd
  | ToldPrompt
  | { type: "accepted" }
  /** The request cannot be computed by this engine, now or later. */
  | { type: "refused"; message: string }
  /** The engine process ended with the request under way. */
  | { type: "lost"; message: string };

/** What an engine process says. */
export type EngineMessage =
  | { type: "ready"; device: string; dtype: string; stages: readonly Stage[]; report: EngineReport }
  /** The engine could not be made; the process ends. */
  | { type: "failed"; failure: Failure }
  /** Events of one step, in order, each with the id of its request. */
  | { type: "events"; events: [id: string, event: SubmissionEvent][]; report: EngineReport };
