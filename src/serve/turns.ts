/** How requests share a thread: long work goes in slices, each request in its turn, and short work is never behind it all. */

/** How long a slice may be, in ms: what anyone else waits for it. */
const sliceMs = 5;

/** One turn at a time, in the order in which they were asked for; between two turns the event loop is heard. */
export class Turns {
  readonly #waiting: (() => void)[] = [];
  #isCalled = false;

  /** Resolves when it is the caller's turn. */
  next(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#call();
    });
  }

  #call(): void {
    if (this.#isCalled || this.#waiting.length === 0) return;
    this.#isCalled = true;
    setImmediate(() => {
      this.#isCalled = false;
      this.#waiting.shift()?.();
      this.#call();
    });
  }
}

/** Whose work it is. */
export interface Pace {
  turns: Turns;
  /** Aborted when nobody waits for it any more. */
  signal: AbortSignal;
}

/**
 * The result of `steps`, run in slices: the first at once, the others in their turn.
 *
 * @param onYield - called with what the steps yield; may throw
 * @throws the signal's reason once it is aborted
 */
export async function inTurns<Y, T>(
  steps: Generator<Y, T>,
  { turns, signal }: Pace,
  onYield: (value: Y) => void = () => {},
): Promise<T> {
  let began = performance.now();
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
    onYield(step.value);
    if (performance.now() - began < sliceMs) continue;
    await turns.next();
    signal.throwIfAborted();
    began = performance.now();
  }
}
