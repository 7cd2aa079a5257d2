/** What reward functions write, in their worker process: each line with the function's name. */

/** Characters that one call may write. */
const mostCharacters = 16_384;

/** Prefixes lines with the name of the function that writes them, and limits what a call may write. */
class AttributedLines {
  readonly #write: (text: string) => void;
  #name = "";
  #written = 0;
  /** A line that has begun. */
  #line = "";

  constructor(write: (text: string) => void) {
    this.#write = write;
  }

  /** From now on `name` writes; what it may write is counted from 0. */
  begin(name: string): void {
    if (this.#line !== "") this.#emit(this.#line);
    this.#line = "";
    this.#name = name;
    this.#written = 0;
  }

  add(text: string): void {
    if (this.#written > mostCharacters) return;
    const kept = text.slice(0, mostCharacters + 1 - this.#written);
    this.#written += kept.length;
    const lines = (this.#line + kept).split("\n");
    this.#line = lines.pop() ?? "";
    for (const line of lines) this.#emit(line);
    if (this.#written <= mostCharacters) return;
    this.#line = "";
    this.#emit(`(more than ${mostCharacters} characters in one call: the rest is left out)`);
  }

  #emit(line: string): void {
    this.#write(`[${this.#name}] ${line}\n`);
  }
}

/**
 * From now on `write` gets what this process writes to its standard streams, line by line.
 *
 * @returns says whose output follows
 */
export function redirectOutput(write: (text: string) => void): (name: string) => void {
  const lines = new AttributedLines(write);
  const redirected = (text: string | Uint8Array, ...rest: unknown[]): boolean => {
    lines.add(typeof text === "string" ? text : Buffer.from(text).toString());
    const done = rest.findLast((each) => typeof each === "function") as (() => void) | undefined;
    if (done !== undefined) process.nextTick(done);
    return true;
  };
  process.stdout.write = redirected;
  process.stderr.write = redirected;
  return (name) => lines.begin(name);
}
