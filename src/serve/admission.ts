/** How many answers may be under way or wait at once, and when none is left. */
import { ApiError } from "./api-error.ts";

/** Counts answers from the arrival of their request to the end of its reply. */
export class Admission {
  readonly #capacity: number;
  #open = 0;
  #isClosed = false;
  #idle: PromiseWithResolvers<void> | null = null;

  /** @param capacity - answers that may be open at once */
  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** Answers that are open. */
  get open(): number {
    return this.#open;
  }

  /** Whether the server stops. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /**
   * Lets `answers` more in. A request of more answers than the capacity is let in alone.
   *
   * @returns what is to be called once when they are over
   * @throws {ApiError} if there are too many, or the server stops
   */
  admit(answers: number): () => void {
    if (this.#isClosed)
      throw new ApiError("stopping", "The server stops and takes no more requests.", { retryAfter: 5 });
    if (this.#open > 0 && this.#open + answers > this.#capacity) {
      throw new ApiError(
        "queueFull",
        `${this.#open} answers are under way or waiting, and ${this.#capacity} may be: ask again later.`,
        { retryAfter: 1 },
      );
    }
    this.#open += answers;
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      this.#open -= answers;
      if (this.#open === 0) this.#idle?.resolve();
    };
  }

  /** Lets no more in, and resolves when all are over. */
  close(): Promise<void> {
    this.#isClosed = true;
    this.#idle ??= Promise.withResolvers();
    if (this.#open === 0) this.#idle.resolve();
    return this.#idle.promise;
  }
}
