/** What a route answers, asked again and again. */
import { get } from "./api.ts";

/** What is known of an answer: the last one, and what went wrong since. */
export interface Answer<T> {
  value: T | null;
  problem: string;
}

/** Ms in which an answer may come. Of what it takes longer so many times pass before it is asked for again. */
const quickMs = 250;
const pauseFactor = 10;

/**
 * A path that is asked once at a time: answers that are slower than the questions are used, and do not pile up. One that takes the
 * dashboard long is asked for seldom, whatever is new: others wait while it is made.
 */
export class Question<T> {
  readonly #path: string;
  readonly #tell: (news: Partial<Answer<T>>) => void;
  #isOpen = false;
  #isAskedAgain = false;
  #isLeft = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param tell - hears the value, or what went wrong */
  constructor(path: string, tell: (news: Partial<Answer<T>>) => void) {
    this.#path = path;
    this.#tell = tell;
  }

  /** Asks; while a question is open, once more when it has its answer. */
  ask(): void {
    this.#isAskedAgain = this.#isOpen;
    if (!this.#isOpen) void this.#open();
  }

  /** Tells nothing more. */
  leave(): void {
    this.#isLeft = true;
    clearTimeout(this.#timer);
  }

  async #open(): Promise<void> {
    this.#isOpen = true;
    const began = performance.now();
    const news = await get<T>(this.#path).then(
      (value) => ({ value, problem: "" }),
      ({ message }: Error) => ({ problem: message }),
    );
    const took = performance.now() - began;
    if (this.#isLeft) return;
    this.#tell(news);
    const pause = pauseFactor * (took - quickMs);
    if (pause <= 0) this.#next();
    else this.#timer = setTimeout(() => this.#next(), pause);
  }

  #next(): void {
    this.#isOpen = false;
    if (this.#isAskedAgain) this.ask();
  }
}
