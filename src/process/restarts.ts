/** When a process that ended is started again: after waits that double, until starting it makes no sense. */

/** When to start again, and when to give up. */
export interface RestartPolicy {
  /** Wait before the first restart; doubled by each further one. */
  firstDelayMs: number;
  maxDelayMs: number;
  /** A process that was ready for so long has earned the first delay again. */
  stableMs: number;
  /** Starts in a row that end before the process is ready, after which none is tried. */
  maxFailedStarts: number;
}

/** The policy unless another is given. */
const defaultPolicy: Readonly<RestartPolicy> = {
  firstDelayMs: 500,
  maxDelayMs: 30_000,
  stableMs: 60_000,
  maxFailedStarts: 3,
};

/** Counts how a process ended and says what follows. */
export class Restarts {
  readonly #policy: RestartPolicy;
  #endsInARow = 0;
  #failedStarts = 0;

  constructor(policy: Partial<RestartPolicy> = {}) {
    this.#policy = { ...defaultPolicy, ...policy };
  }

  /** Starts in a row that ended before the process was ready. */
  get failedStarts(): number {
    return this.#failedStarts;
  }

  /**
   * The process has ended.
   *
   * @param readyMs - how long it had been ready; null: it never was
   * @returns the wait before the next start, in ms; null: there is none
   */
  next(readyMs: number | null): number | null {
    const { firstDelayMs, maxDelayMs, stableMs, maxFailedStarts } = this.#policy;
    this.#failedStarts = readyMs === null ? this.#failedStarts + 1 : 0;
    if (this.#failedStarts >= maxFailedStarts) return null;
    this.#endsInARow = readyMs !== null && readyMs >= stableMs ? 1 : this.#endsInARow + 1;
    return Math.min(maxDelayMs, firstDelayMs * 2 ** (this.#endsInARow - 1));
  }
}
