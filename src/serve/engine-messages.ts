/** What the server's two processes say to each other: the HTTP process asks, the engine process answers. */
import type { EngineStats, GenerateEvent, GenerateRequest, TokenEvent } from "../generate/request.ts";

/** What an engine process is made from. */
export interface EngineSettings {
  /** Model directory. */
  model: string;
  /** Adapter directories by the names that requests use. */
  adapters: Readonly<Record<string, string>>;
  /** As in a run's configuration. */
  device: string;
  dtype: "auto" | "float32" | "bfloat16";
  threads: number | null;
  /** Answers computed at once. */
  maxRunning: number;
  /** Tokens that the cache holds at most; null: no limit but `maxRunning`. */
  maxCacheTokens: number | null;
}

/** What an engine process is told. The first message is `start`. */
export type EngineCommand =
  | { type: "start"; settings: EngineSettings }
  | { type: "submit"; id: string; request: GenerateRequest }
  | { type: "cancel"; id: string };

/** What the engine process is doing, sent along with everything else it says. */
export interface EngineReport {
  stats: EngineStats;
  /** Memory of the process, in bytes. */
  residentBytes: number;
}

/** A token as log-probs show it. */
export interface ShownToken {
  /** The token on its own; a part of a character is U+FFFD. */
  text: string;
  /** What it stands for, exactly. */
  bytes: number[];
  /** ln p under the model itself. */
  logprob: number;
}

/** A token of an answer with its log-probs. */
export interface TokenLogprobs {
  token: ShownToken;
  /** The likeliest tokens in its place, likeliest first. */
  top: ShownToken[];
}

/** The engine's token event in words instead of ids, so that the HTTP process needs no tokenizer. */
export interface ToldToken extends Pick<TokenEvent, "type" | "answer" | "text"> {
  /** null unless log-probs were asked for. */
  logprobs: TokenLogprobs | null;
}

/** What a request can meet with: the engine's events, and what comes before or instead of them. */
export type SubmissionEvent =
  | Exclude<GenerateEvent, TokenEvent>
  | ToldToken
  | { type: "accepted" }
  /** The request cannot be computed by this engine, now or later. */
  | { type: "refused"; message: string }
  /** The engine process ended with the request under way. */
  | { type: "lost"; message: string };

/** What an engine process says. */
export type EngineMessage =
  | { type: "ready"; device: string; dtype: string; report: EngineReport }
  /** The engine could not be made; the process ends. */
  | { type: "failed"; message: string; exitCode: number }
  /** Events of one step, in order, each with the id of its request. */
  | { type: "events"; events: [id: string, event: SubmissionEvent][]; report: EngineReport };
