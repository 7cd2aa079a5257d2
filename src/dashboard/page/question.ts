/** What a route answers, asked again and again. */
import { get } from "./api.ts";

/** What is known of an answer: the last one, and what went wrong since. */
export interface Answer<T> {
  value: T | null;
  problem: string;
}

/**
 * Ms in which an answer may come. Of what it takes longer so many times pass before it is asked for again, but no more than
 * `mostPauseMs`: the network has its part in it, and the first answer of a long run takes longer than all later ones.
 */
const quickMs = 250;
const pauseFactor = 10;
const mostPauseMs = 10_000;

/**
 * A path that is asked once at a time: answers that are slower than the questions are used, and do not pile up. One that takes the
 * dashboard long is asked for seldom, whatever is new: others wait while it is made. What failed is asked for without a pause.
 */
export class Question<T> {
  readonly #path: string;
  readonly #tell: (news: Partial<Answer<T>>) => void;
  #isOpen = false;
  #isAskedAgain = false;
  /** Whether the reader has done something since the open question was asked. */
  #isHurried = false;
  #isLeft = false;
  /** Runs while there is a pause. */
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param tell - hears the value, or what went wrong */
  constructor(path: string, tell: (news: Partial<Answer<T>>) => void) {
    this.#path = path;
    this.#tell = tell;
  }

  /**
   * Asks; while a question is open or there is a pause, once more after it.
   *
   * @param isOwn - what the reader has done himself is behind it: no pause is waited for
   */
  ask(isOwn = false): void {
    this.#isAskedAgain = this.#isOpen || this.#timer !== undefined;
    if (!this.#isAskedAgain) void this.#open();
    else if (!isOwn) return;
    else if (this.#isOpen) this.#isHurried = true;
    else this.#next();
  }

  /** Tells nothing more. */
  leave(): void {
    this.#isLeft = true;
    clearTimeout(this.#timer);
  }

  async #open(): Promise<void> {
    this.#isOpen = true;
    this.#isHurried = false;
    const began = performance.now();
    const news = await get<T>(this.#path).then(
      (value) => ({ value, problem: "" }),
      ({ message }: Error) => ({ problem: message }),
    );
    const took = performance.now() - began;
    if (this.#isLeft) return;
    this.#tell(news);
    this.#isOpen = false;
    const isAtOnce = this.#isHurried || news.problem !== "" || took <= quickMs;
    if (isAtOnce) this.#next();
    else this.#timer = setTimeout(() => this.#next(), Math.min(mostPauseMs, pauseFactor * (took - quickMs)));
  }

  #next(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#isAskedAgain) this.ask();
  }
}
