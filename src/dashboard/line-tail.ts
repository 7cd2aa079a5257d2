/**
 * The end of a growing file of lines, read by a byte cursor: each read gives what is new. A last line without its newline is left
 * for the next read. A resumed run cuts its files: a file that is shorter than the cursor, or has other bytes before it, is read
 * again from its beginning.
 */
import { readSync, type Stats } from "node:fs";
import { statsOf, withFile } from "../base/open-file.ts";

/** Bytes read at once, so that a long file does not hold up everything else. */
const pieceBytes = 2 ** 18;
/** Bytes before the cursor that are looked at again. */
const rememberedBytes = 256;
/** The longest line that is read; one of more ends the reading of its file. */
const longestLine = 2 ** 28;

/** What a read gave. */
export interface TailRead {
  lines: string[];
  /** The file was cut or replaced: these lines are from its beginning, and what was read before is no more. */
  isRestart: boolean;
  /** There is more to read now. */
  isMore: boolean;
}

/** A place in a file, from which another process continues. */
export interface TailPlace {
  offset: number;
  /** The bytes before it, base64. */
  before: string;
}

/** A cursor into the file at `path`, which need not exist yet. */
export class LineTail {
  readonly path: string;
  #offset = 0;
  #before: Buffer = Buffer.alloc(0);
  #seen: Pick<Stats, "size" | "mtimeMs" | "ino"> | null = null;

  constructor(path: string, place: TailPlace | null = null) {
    this.path = path;
    if (place === null) return;
    this.#offset = place.offset;
    this.#before = Buffer.from(place.before, "base64");
  }

  get place(): TailPlace {
    return { offset: this.#offset, before: this.#before.toString("base64") };
  }

  /** The lines that are new, at most {@link pieceBytes} of them unless one line is longer. @throws {FileError} where it cannot be read */
  read(): TailRead {
    const stats = statsOf(this.path);
    const seen = this.#seen;
    const { size = 0, mtimeMs = 0, ino = 0 } = stats ?? {};
    if (seen !== null && seen.size === size && seen.mtimeMs === mtimeMs && seen.ino === ino) return nothing;
    if (stats === null || size === 0) {
      const isRestart = this.#offset > 0;
      this.#start();
      return { ...nothing, isRestart };
    }
    return withFile(this.path, (fd) => {
      const isRestart = !this.#isWhereItWas(fd, size);
      if (isRestart) this.#start();
      const { lines, isMore } = this.#next(fd, size);
      this.#seen = isMore ? null : { size, mtimeMs, ino };
      return { lines, isRestart, isMore };
    });
  }

  #start(): void {
    this.#offset = 0;
    this.#before = Buffer.alloc(0);
    this.#seen = null;
  }

  #isWhereItWas(fd: number, size: number): boolean {
    if (size < this.#offset) return false;
    const bytes = Buffer.alloc(this.#before.length);
    const count = readSync(fd, bytes, 0, bytes.length, this.#offset - bytes.length);
    return count === bytes.length && bytes.equals(this.#before);
  }

  #next(fd: number, size: number): { lines: string[]; isMore: boolean } {
    for (let length = pieceBytes; ; length *= 4) {
      const bytes = Buffer.allocUnsafe(Math.min(length, size - this.#offset));
      const count = readSync(fd, bytes, 0, bytes.length, this.#offset);
      const end = bytes.subarray(0, count).lastIndexOf(10) + 1;
      const isWhole = this.#offset + count >= size;
      if (end === 0 && !isWhole && length < longestLine) continue;
      const whole = bytes.subarray(0, end);
      this.#offset += end;
      if (end > 0) this.#before = Buffer.from(whole.subarray(-rememberedBytes));
      const lines = whole.toString("utf8").split("\n").slice(0, -1);
      return { lines, isMore: !isWhole && end > 0 };
    }
  }
}

const nothing: TailRead = { lines: [], isRestart: false, isMore: false };
