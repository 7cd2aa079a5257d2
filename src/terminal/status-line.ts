/** The line of a terminal that all progress is drawn on, and written over. */

/** Where progress is written: process.stdout, process.stderr or something like them. */
export interface ProgressStream {
  write(text: string): unknown;
  isTTY?: boolean;
  columns?: number;
  /** Stands in front of every line on a terminal, "[2/4] DPO: ". */
  prefix?: string;
}

/** Time between two rewrites of the line. */
const REDRAW_MS = 100;

/** A line on the screen that is written over; on anything but a terminal nothing is drawn. */
export class StatusLine {
  /** Whether there is a terminal. */
  readonly live: boolean;
  readonly #out: ProgressStream;
  /** Takes the line away and begins it again. */
  readonly #begin: string;
  #drawn = Number.NEGATIVE_INFINITY;

  constructor(out: ProgressStream) {
    this.#out = out;
    this.live = out.isTTY === true;
    this.#begin = `\r\u001b[K${out.prefix ?? ""}`;
  }

  /** Draws `parts` from the left, as many as fit; the first is always there, cut if need be. */
  draw(parts: readonly string[], isLast: boolean): void {
    const now = performance.now();
    if (!this.live || (!isLast && now - this.#drawn < REDRAW_MS)) return;
    this.#drawn = now;
    const width = (this.#out.columns || 80) - (this.#out.prefix ?? "").length - 1;
    this.#out.write(`${this.#begin}${fitParts(parts, width)}${isLast ? "\n" : ""}`);
  }

  /** Takes the line away. */
  clear(): void {
    if (this.live) this.#out.write("\r\u001b[K");
  }

  /** Writes a separate line above the status. */
  note(text: string): void {
    this.#out.write(this.live ? `${this.#begin}${text}\n` : `${text}\n`);
  }
}

/** Joins as many of `parts` as `width` columns hold; the first is cut rather than left out. */
function fitParts(parts: readonly string[], width: number): string {
  let line = (parts[0] ?? "").slice(0, Math.max(1, width));
  for (const part of parts.slice(1)) {
    if (line.length + 3 + part.length <= width) line += ` · ${part}`;
  }
  return line;
}
