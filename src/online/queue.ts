/** Work that is done one after the other. */

/** Does what is added in the order in which it is added; what fails holds up nothing. */
export class Queue {
  #last: Promise<unknown> = Promise.resolve();

  /** The result of `work`, which begins when all before it has ended. */
  add<R>(work: () => R | Promise<R>): Promise<R> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => {});
    return done;
  }

  /** Resolves when all that was added has ended. */
  async idle(): Promise<void> {
    await this.#last;
  }
}
