/** Long texts: work done in steps, so that who runs it may do something else between them or give up, and texts to keep. */

/** The result of all steps, one after the other. */
export function toEnd<T>(steps: Generator<unknown, T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** The steps of a part of some work: what they yield counts from `before` on. */
export function* countedFrom<T>(before: number, steps: Generator<number, T>): Generator<number, T> {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
    yield before + step.value;
  }
}

/** A copy to keep: V8's part of a string keeps the whole of it, which may be a megabyte. */
export function ownText(text: string): string {
  return Buffer.from(text, "utf16le").toString("utf16le");
}
