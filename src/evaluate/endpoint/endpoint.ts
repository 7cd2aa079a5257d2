/**
 * A client of OpenAI-style chat endpoints: tries again what may pass, keeps to limits, and counts what it costs.
 * Requests go to the given address only: redirects are not followed, so neither key nor texts end up elsewhere.
 */
import { ConfigError, EndpointError, messageOf } from "../../base/errors.ts";
import {
  type ChatReply,
  type ChatRequest,
  errorCodeOf,
  errorText,
  parseReply,
  readBody,
  requestBody,
} from "./chat-body.ts";
import { type Clock, systemClock } from "./clock.ts";
import { RateLimit } from "./rate-limit.ts";

/** An endpoint and how it is asked. */
export interface EndpointOptions {
  /** Address up to and with the version, e.g. `http://127.0.0.1:8000/v1`. */
  baseUrl: string;
  model: string;
  /** Sent as a bearer token; null: none is sent. */
  apiKey?: string | null;
  /** Longest wait for one answer; default 120 000. Node's fetch itself gives up after 300 000. */
  timeoutMs?: number;
  /** Further tries after the first; default 6. */
  maxRetries?: number;
  requestsPerMinute?: number | null;
  tokensPerMinute?: number | null;
  /** Further fields of each request's body; null takes a field out. */
  extra?: Readonly<Record<string, unknown>>;
  clock?: Clock;
}

/** What has been spent on an endpoint. */
export interface Spent {
  /** Requests sent, further tries included. */
  requests: number;
  retries: number;
  promptTokens: number;
  completionTokens: number;
  /** Answers without a count of tokens. */
  uncounted: number;
  /** Requests that were sent and gave no answer that can be used, for which the endpoint may have written one. */
  unanswered: number;
}

/** An attempt that gave no answer. */
interface Fault {
  what: string;
  status: number | null;
  /** Whether the same request may succeed later. */
  passing: boolean;
  /** Milliseconds that the endpoint asked to wait. */
  askedMs: number | null;
  /** Whether the endpoint may have written an answer, which it bills. */
  isUnanswered: boolean;
}

/** A chat endpoint. */
export class Endpoint {
  readonly model: string;
  /** Address without a slash at its end. */
  readonly baseUrl: string;
  readonly extra: Readonly<Record<string, unknown>>;
  readonly spent: Spent = {
    ...{ requests: 0, retries: 0, promptTokens: 0, completionTokens: 0 },
    ...{ uncounted: 0, unanswered: 0 },
  };
  readonly #key: string | null;
  readonly #timeoutMs: number;
  readonly #maxRetries: number;
  readonly #clock: Clock;
  readonly #limit: RateLimit;

  /** @throws {ConfigError} if address or key cannot be used, or the key would travel in the open */
  constructor(options: EndpointOptions) {
    const { timeoutMs = 120_000, maxRetries = 6, clock = systemClock } = options;
    this.model = options.model;
    this.#key = checkedKey(options.apiKey ?? null);
    this.baseUrl = checkedUrl(options.baseUrl, this.#key !== null);
    this.extra = options.extra ?? {};
    this.#timeoutMs = timeoutMs;
    this.#maxRetries = maxRetries;
    this.#clock = clock;
    const { requestsPerMinute = null, tokensPerMinute = null } = options;
    this.#limit = new RateLimit({ requestsPerMinute, tokensPerMinute }, clock);
  }

  /**
   * The endpoint's answer.
   *
   * @throws {EndpointError} when it refuses, or gave no usable answer in all tries
   */
  async chat(request: ChatRequest): Promise<ChatReply> {
    const body = requestBody(this.model, request, this.extra);
    for (let attempt = 1; ; attempt++) {
      const outcome = await this.#attempt(body, request.maxTokens);
      if (!("what" in outcome)) return outcome;
      if (outcome.isUnanswered) this.spent.unanswered++;
      if (!outcome.passing || attempt > this.#maxRetries) throw this.#failure(outcome, attempt);
      this.spent.retries++;
      const wait = waitBefore(attempt, outcome.askedMs, this.#clock);
      // An endpoint that asks for patience means everyone; after other faults only this request waits.
      if (outcome.askedMs === null) await this.#clock.sleep(wait);
      else this.#limit.pause(wait);
    }
  }

  async #attempt(body: string, maxTokens: number): Promise<ChatReply | Fault> {
    // About four characters to a token; half of what is allowed to the answer. Corrected when the endpoint has counted.
    const admission = await this.#limit.admit(Math.ceil(body.length / 4 + maxTokens / 2));
    this.spent.requests++;
    let response: Response;
    let text: string;
    try {
      response = await fetch(`${this.baseUrl}/chat/completions`, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          accept: "application/json",
          ...(this.#key === null ? {} : { authorization: `Bearer ${this.#key}` }),
        },
        body,
        redirect: "manual",
        signal: AbortSignal.timeout(this.#timeoutMs),
      });
      text = await readBody(response);
    } catch (error) {
      return {
        what: this.#withoutKey(this.#connectionError(error)),
        status: null,
        passing: true,
        askedMs: null,
        isUnanswered: !isUnsent(error),
      };
    }
    if (!response.ok) return this.#refusal(response, text);
    const reply = parseReply(text);
    if (typeof reply === "string") {
      const what = this.#withoutKey(reply);
      return { what, status: response.status, passing: true, askedMs: null, isUnanswered: true };
    }
    this.#count(reply);
    const { usage } = reply;
    if (usage !== null) this.#limit.correct(admission, usage.promptTokens + usage.completionTokens);
    return reply;
  }

  #connectionError(error: unknown): string {
    if (error instanceof Error && error.name === "TimeoutError") {
      return `no answer within ${this.#timeoutMs / 1000} s`;
    }
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    return `no whole answer (${messageOf(cause) || messageOf(error)})`;
  }

  #refusal(response: Response, text: string): Fault {
    const { status, headers } = response;
    const message = this.#withoutKey(errorText(text));
    const what = `status ${status}${message === "" ? "" : `: ${message}`}`;
    // An account without money answers 429 for ever.
    const isSpent = errorCodeOf(text) === "insufficient_quota";
    return {
      what,
      status,
      passing: isPassing(status) && !isSpent,
      askedMs: retryAfterMs(headers, this.#clock),
      // it, or a proxy before it, gave up waiting for an answer that may have been begun
      isUnanswered: [408, 504, 524].includes(status),
    };
  }

  #count({ usage }: ChatReply): void {
    if (usage === null) {
      this.spent.uncounted++;
      return;
    }
    this.spent.promptTokens += usage.promptTokens;
    this.spent.completionTokens += usage.completionTokens;
  }

  #failure({ what, status, passing }: Fault, attempts: number): EndpointError {
    const tries = attempts === 1 ? "" : ` after ${attempts} tries`;
    // the endpoint's message may end in a full stop
    const reason = what.replace(/[.\s]+$/, "");
    return new EndpointError(
      `${this.baseUrl}, model ${this.model}: expected an answer, got ${reason}${tries}. ${advice(status, passing)}`,
      status,
    );
  }

  /** Some endpoints repeat the key that they refuse. */
  #withoutKey(text: string): string {
    return this.#key === null ? text : text.replaceAll(this.#key, "…");
  }
}

function advice(status: number | null, passing: boolean): string {
  if (status === 401 || status === 403) return "Check the key and the variable that it is taken from.";
  if (status === 404) return "Check the address (it ends in /v1 as a rule) and the model's name.";
  if (status !== null && status >= 300 && status < 400)
    return "It points elsewhere, which is not followed: give that address.";
  if (passing) return "Check that it runs, or try later: what is judged already is kept.";
  return "Check the model's name and the settings of the request.";
}

/** The key without white space around it, or null when it is empty. It is not shown: messages end up in logs. */
function checkedKey(key: string | null): string | null {
  const trimmed = key?.trim() ?? "";
  if (trimmed === "") return null;
  if (/^[\x21-\x7e]+$/.test(trimmed)) return trimmed;
  throw new ConfigError(
    "expected a key of printable characters without spaces. Check the variable that it is taken from.",
  );
}

/** The address without a slash at its end. */
function checkedUrl(text: string, hasKey: boolean): string {
  const url = URL.parse(text);
  if (url === null || !["http:", "https:"].includes(url.protocol)) {
    // what stands before an @ may be a password
    const shown = text.replace(/^.*@/s, "…@");
    throw new ConfigError(`expected an address such as http://127.0.0.1:8000/v1, got "${shown}".`);
  }
  if (url.username !== "" || url.password !== "" || url.search !== "") {
    throw new ConfigError(
      `${url.origin}: expected an address without a name, a password or a query in it. Give keys by a variable.`,
    );
  }
  if (hasKey && url.protocol === "http:" && !isLoopback(url.hostname)) {
    throw new ConfigError(
      `${url.origin}: the key would travel unencrypted. Use https, or a tunnel to 127.0.0.1.`,
    );
  }
  return `${url.origin}${url.pathname}`.replace(/\/+$/, "").replace(/\/chat\/completions$/, "");
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(host);
}

/** Whether the same request may succeed after this status: what the endpoint has to do with, and haste. */
function isPassing(status: number): boolean {
  return status >= 500 || [408, 409, 425, 429].includes(status);
}

/** Whether a request failed before there was a connection to send it by. */
function isUnsent(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : null;
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  return /ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|CONNECT_TIMEOUT|CERT|TLS|SSL/.test(code);
}

const firstWaitMs = 500;
const longestWaitMs = 30_000;
/** An endpoint that asks for more patience is taken to be out of order. */
const longestRetryAfterMs = 5 * 60_000;

/**
 * Milliseconds before try `attempt` + 1: doubled each time and drawn from the upper half, so that many clients do not
 * come back at once; or what the endpoint asks for, if that is longer.
 *
 * @param attempt - failed tries so far, from 1
 * @param asked - what `Retry-After` asks for, in milliseconds
 */
function waitBefore(attempt: number, asked: number | null, clock: Clock): number {
  const most = Math.min(longestWaitMs, firstWaitMs * 2 ** (attempt - 1));
  return Math.max(asked ?? 0, most * (0.5 + 0.5 * clock.random()));
}

/** The wait that headers ask for, in milliseconds: `retry-after-ms`, or `Retry-After` in seconds or as a date. Null: none. */
function retryAfterMs(headers: Headers, clock: Clock): number | null {
  const exact = Number(headers.get("retry-after-ms") ?? Number.NaN);
  const header = headers.get("retry-after");
  const seconds = Number(header ?? Number.NaN);
  const until = Date.parse(header ?? "");
  const wait = [exact, 1000 * seconds, until - clock.date()].find(Number.isFinite);
  if (wait === undefined || wait < 0) return null;
  return Math.min(wait, longestRetryAfterMs);
}
