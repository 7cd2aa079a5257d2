/** Reads the rows of a metrics file in order while another process appends to it. */
import { closeSync, existsSync, readSync } from "node:fs";
import { parseNumbers } from "../base/json-numbers.ts";
import { openFile } from "../base/open-file.ts";
import type { MetricRow } from "../runs/metrics.ts";

/** Bytes that are read at once. */
const mostBytes = 2 ** 18;

/** Where in the file a reader is. What it holds at any time is one part of the file: the file itself is the queue. */
export class RowCursor {
  readonly #path: string;
  /** Whether nothing came after what was read last, but for a line that is being written. */
  isAtEnd = false;
  #offset = 0;

  constructor(path: string) {
    this.#path = path;
  }

  /**
   * The rows that come next, as many as one part of the file holds; none: there are no more yet.
   *
   * @throws {SyntaxError} when a complete line is no row
   */
  next(): MetricRow[] {
    for (let size = mostBytes; ; size *= 2) {
      const bytes = this.#read(size);
      const end = bytes.lastIndexOf(10) + 1;
      if (end === 0 && bytes.length === size) continue;
      this.#offset += end;
      this.isAtEnd = bytes.length < size;
      const lines = bytes.subarray(0, end).toString("utf8").split("\n");
      return lines.filter((line) => line !== "").map((line) => parseNumbers(line) as MetricRow);
    }
  }

  #read(size: number): Buffer {
    if (!existsSync(this.#path)) return Buffer.alloc(0);
    const fd = openFile(this.#path);
    try {
      const bytes = Buffer.alloc(size);
      return bytes.subarray(0, readSync(fd, bytes, 0, size, this.#offset));
    } finally {
      closeSync(fd);
    }
  }
}
