/** What is kept of one HTTP request for the log and the metrics: no text of prompts or answers, no header. */
import type { TokenCounts } from "./answering.ts";

/** One request, once its reply has ended. */
export interface RequestRecord {
  /** Also in the reply's X-Request-Id header. */
  id: string;
  /** Path of the route, or "other". */
  route: string;
  method: string;
  /** HTTP status. */
  status: number;
  durationMs: number;
  /** Model or adapter asked for, once it is known to exist. */
  model: string | null;
  stream: boolean;
  /** Tokens of a completion request that ended; null for others. */
  counts: TokenCounts | null;
  /** Code of the error sent to the client, also inside a stream; "client_left". */
  error: string | null;
  /** The warning in X-Preftune-Warning; null: nothing. */
  warning: string | null;
}

/** The record as a line of JSON. */
export function recordLine(record: RequestRecord, time: Date): string {
  const { counts, durationMs, ...rest } = record;
  return JSON.stringify({
    time: time.toISOString(),
    event: "request",
    ...rest,
    duration_ms: Math.round(durationMs),
    prompt_tokens: counts?.promptTokens ?? null,
    cached_tokens: counts?.cachedTokens ?? null,
    completion_tokens: counts?.completionTokens ?? null,
  });
}

/** The record as a short line for a terminal. */
export function recordText({
  method,
  route,
  status,
  durationMs,
  counts,
  error,
  warning,
}: RequestRecord): string {
  const tokens = counts === null ? "" : `, ${counts.promptTokens} + ${counts.completionTokens} tokens`;
  const why = [error, warning].map((word) => (word === null ? "" : `, ${word}`)).join("");
  return `${status} ${method} ${route}, ${Math.round(durationMs)} ms${tokens}${why}`;
}
