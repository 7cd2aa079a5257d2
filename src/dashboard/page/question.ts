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
  /** Whether an answer is waited for, or there is a pause after it. */
  #isOpen = false;
  #isAskedAgain = false;
  #isLeft = false;
  /** Ends the pause, or says before the answer that there is none after it. */
  #endPause: () => void = () => {};

  /** @param tell - hears the value, or what went wrong */
  constructor(path: string, tell: (news: Partial<Answer<T>>) => void) {
    this.#path = path;
    this.#tell = tell;
  }

  /**
   * Asks; while a question is open, once more when it has its answer and the pause is over.
   *
   * @param isOwn - what the reader has done himself is behind it: no pause is waited for
   */
  ask(isOwn = false): void {
    this.#isAskedAgain = this.#isOpen;
    if (!this.#isOpen) void this.#open();
    else if (isOwn) this.#endPause();
  }

  /** Tells nothing more. */
  leave(): void {
    this.#isLeft = true;
  }

  async #open(): Promise<void> {
    this.#isOpen = true;
    const pause = new Promise<void>((end) => {
      this.#endPause = end;
    });
    const began = performance.now();
    const news = await get<T>(this.#path).then(
      (value) => ({ value, problem: "" }),
      ({ message }: Error) => ({ problem: message }),
    );
    const beyond = performance.now() - began - quickMs;
    if (this.#isLeft) return;
    this.#tell(news);
    if (news.problem !== "" || beyond <= 0) this.#endPause();
    else setTimeout(this.#endPause, Math.min(mostPauseMs, pauseFactor * beyond));
    await pause;
    this.#isOpen = false;
    if (this.#isAskedAgain && !this.#isLeft) this.ask();
  }
}
