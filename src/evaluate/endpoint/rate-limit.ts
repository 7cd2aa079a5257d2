/** Keeps the requests to an endpoint below a number of requests and of tokens a minute, and pauses all when it asks for that. */
import type { Clock } from "./clock.ts";

/** Limits, each null where there is none. */
export interface RateLimits {
  requestsPerMinute: number | null;
  tokensPerMinute: number | null;
}

/** A request let through, with its estimated tokens until `correct` sets the counted ones. */
export interface AdmittedRequest {
  at: number;
  tokens: number;
}

const minuteMs = 60_000;

/** Lets requests through one after the other, in the order in which they came. */
export class RateLimit {
  readonly #limits: RateLimits;
  readonly #clock: Clock;
  #queue: Promise<void> = Promise.resolve();
  /** Of the last minute, oldest first; empty without a limit of tokens. */
  #recent: AdmittedRequest[] = [];
  #nextAt = Number.NEGATIVE_INFINITY;

  constructor(limits: RateLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
  }

  /** Waits until a request of about `tokens` may be sent. Requests are spread evenly over the minute. */
  admit(tokens: number): Promise<AdmittedRequest> {
    const turn = this.#queue.then(() => this.#wait(tokens));
    this.#queue = turn.then(() => {});
    return turn;
  }

  /** Sets the tokens that a request cost. */
  correct(admission: AdmittedRequest, tokens: number): void {
    admission.tokens = tokens;
  }

  /** Lets nothing through for `ms`. */
  pause(ms: number): void {
    this.#nextAt = Math.max(this.#nextAt, this.#clock.now() + ms);
  }

  async #wait(tokens: number): Promise<AdmittedRequest> {
    for (let ms = this.#delay(tokens); ms > 0; ms = this.#delay(tokens)) await this.#clock.sleep(ms);
    const admission = { at: this.#clock.now(), tokens };
    const { requestsPerMinute: requests, tokensPerMinute } = this.#limits;
    if (requests !== null) this.#nextAt = Math.max(this.#nextAt, admission.at + minuteMs / requests);
    if (tokensPerMinute !== null) this.#recent.push(admission);
    return admission;
  }

  /** Milliseconds until the next check; 0 or less: now. */
  #delay(tokens: number): number {
    const now = this.#clock.now();
    if (this.#nextAt > now) return this.#nextAt - now;
    const { tokensPerMinute: most } = this.#limits;
    if (most === null) return 0;
    this.#recent = this.#recent.filter(({ at }) => at > now - minuteMs);
    const spent = this.#recent.reduce((sum, admission) => sum + admission.tokens, 0);
    const [oldest] = this.#recent;
    // A request larger than the limit is sent alone: waiting longer would not help.
    return oldest === undefined || spent + tokens <= most ? 0 : oldest.at + minuteMs - now;
  }
}
