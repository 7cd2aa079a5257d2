/** What a route answers, asked again and again. */
import { get } from "./api.ts";

/** What is known of an answer: the last one, and what went wrong since. */
export interface Answer<T> {
  value: T | null;
  problem: string;
}

/** A path that is asked once at a time: answers that are slower than the questions are used, and do not pile up. */
export class Question<T> {
  readonly #path: string;
  readonly #tell: (news: Partial<Answer<T>>) => void;
  #isOpen = false;
  #isAskedAgain = false;
  #isLeft = false;

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
  }

  async #open(): Promise<void> {
    this.#isOpen = true;
    const news = await get<T>(this.#path).then(
      (value) => ({ value, problem: "" }),
      ({ message }: Error) => ({ problem: message }),
    );
    this.#isOpen = false;
    if (this.#isLeft) return;
    this.#tell(news);
    if (this.#isAskedAgain) this.ask();
  }
}
