/** Which failed requests are worth another try, and how long to wait before it. */
import type { Clock } from "./clock.ts";

/** Statuses after which the same request may succeed. */
const passing: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529]);

const firstWaitMs = 500;
const longestWaitMs = 30_000;
/** An endpoint that asks for more patience is taken to be out of order. */
const longestRetryAfterMs = 5 * 60_000;

/** Whether a request that ended with `status` is tried again. */
export function isPassing(status: number): boolean {
  return passing.has(status);
}

/**
 * Milliseconds before try `attempt` + 1: doubled each time and drawn from the upper half, so that many clients do not
 * come back at once; or what the endpoint asks for, if that is longer.
 *
 * @param attempt - failed tries so far, from 1
 * @param asked - what `Retry-After` asks for, in milliseconds
 */
export function waitBefore(attempt: number, asked: number | null, clock: Clock): number {
  const most = Math.min(longestWaitMs, firstWaitMs * 2 ** (attempt - 1));
  return Math.max(asked ?? 0, most * (0.5 + 0.5 * clock.random()));
}

/** The wait that headers ask for, in milliseconds: `retry-after-ms`, or `Retry-After` in seconds or as a date. Null: none. */
export function retryAfterMs(headers: Headers, clock: Clock): number | null {
  const exact = Number(headers.get("retry-after-ms") ?? Number.NaN);
  const header = headers.get("retry-after");
  const seconds = Number(header ?? Number.NaN);
  const until = Date.parse(header ?? "");
  const wait = [exact, 1000 * seconds, until - clock.date()].find(Number.isFinite);
  if (wait === undefined || wait < 0) return null;
  return Math.min(wait, longestRetryAfterMs);
}
