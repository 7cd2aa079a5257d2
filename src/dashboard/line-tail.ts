/**
 * The end of a growing file of lines, read by a byte cursor: each read gives what is new. A last line without its newline is left
 * for the next read. A resumed run cuts its files: a file that is shorter than the cursor, or has other bytes before it, is read
 * again from its beginning.
 */
import { readSync, type Stats } from "node:fs";
import { statsOf, withFile } from "../base/open-file.ts";
import { type CursorPlace, FileCursor } from "./file-cursor.ts";

/** Bytes read at once, so that a long file does not hold up everything else. */
const pieceBytes = 2 ** 18;
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

/** A cursor into the file at `path`, which need not exist yet. */
export class LineTail {
  readonly path: string;
  #cursor: FileCursor;
  #seen: Pick<Stats, "size" | "mtimeMs" | "ino"> | null = null;

  constructor(path: string, place?: CursorPlace) {
    this.path = path;
    this.#cursor = new FileCursor(place);
  }

  get place(): CursorPlace {
    return this.#cursor.place;
  }

  /** The lines that are new, at most {@link pieceBytes} of them unless one line is longer. @throws {FileError} where it cannot be read */
  read(): TailRead {
    const stats = statsOf(this.path);
    const seen = this.#seen;
    const { size = 0, mtimeMs = 0, ino = 0 } = stats ?? {};
    if (seen !== null && seen.size === size && seen.mtimeMs === mtimeMs && seen.ino === ino) return nothing;
    if (stats === null || size === 0) {
      const isRestart = this.#cursor.offset > 0;
      this.#start();
      return { ...nothing, isRestart };
    }
    return withFile(this.path, (fd) => {
      const isRestart = !this.#cursor.isIn(size, (from, to) => bytesOf(fd, from, to));
      if (isRestart) this.#start();
      const { lines, isMore } = this.#next(fd, size);
      this.#seen = isMore ? null : { size, mtimeMs, ino };
      return { lines, isRestart, isMore };
    });
  }

  #start(): void {
    this.#cursor = new FileCursor();
    this.#seen = null;
  }

  #next(fd: number, size: number): { lines: string[]; isMore: boolean } {
    const { offset } = this.#cursor;
    for (let length = pieceBytes; ; length *= 4) {
      const bytes = bytesOf(fd, offset, Math.min(size, offset + length));
      const end = bytes.lastIndexOf(10) + 1;
      const isWhole = offset + bytes.length >= size;
      if (end === 0 && !isWhole && length < longestLine) continue;
      const whole = bytes.subarray(0, end);
      if (end > 0) this.#cursor.moveTo(offset + end, whole);
      const lines = whole.toString("utf8").split("\n").slice(0, -1);
      return { lines, isMore: !isWhole && end > 0 };
    }
  }
}

function bytesOf(fd: number, from: number, to: number): Buffer {
  const bytes = Buffer.allocUnsafe(to - from);
  return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, from));
}

const nothing: TailRead = { lines: [], isRestart: false, isMore: false };
