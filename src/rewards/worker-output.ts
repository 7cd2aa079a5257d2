/** What reward functions write, in their worker process: all of it to standard error, each line with the function's name. */

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
 * From now on the output of this process goes to standard error, line by line.
 *
 * @returns says whose output follows
 */
export function redirectOutput(): (name: string) => void {
  const write = process.stderr.write.bind(process.stderr);
  const lines = new AttributedLines((text) => void write(text));
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
