/** Text of data files, strictly UTF-8: as numbered lines of limited length, or in pieces. */
import { DataError } from "../base/errors.ts";
import { isJsonSpace } from "../formats/json-list.ts";
import { type DataFile, readBytes } from "./data-file.ts";
import { maxRowBytes } from "./read-meter.ts";

/** One line without its line break. */
export interface Line {
  /** 1-based. */
  number: number;
  text: string;
}

/** The line that a reader has come to, for messages. */
export class LinePlace {
  readonly name: string;
  number = 1;

  constructor(name: string) {
    this.name = name;
  }

  /** `file:line`. */
  readonly where = (): string => `${this.name}:${this.number}`;
}

const lineFeed = 0x0a;

/**
 * The lines of `file` that are not blank; see {@link linesOf}.
 *
 * @throws DataError naming file and line when a line is longer than `limit` bytes, is not UTF-8, or the file is damaged
 */
export function readLines(file: DataFile, limit: number = maxRowBytes): AsyncGenerator<Line> {
  const place = new LinePlace(file.name);
  return linesOf(readBytes(file, place.where), place, limit);
}

/**
 * The lines in `bytes` that are not blank, `place` being at their beginning. A byte order mark and carriage returns at line
 * ends are left out. Blank lines cost a look at each byte: a small compressed file may hold thousands of millions of them.
 *
 * @throws DataError naming file and line when a line is longer than `limit` bytes or is not UTF-8
 */
export async function* linesOf(
  bytes: AsyncIterable<Buffer>,
  place: LinePlace,
  limit: number = maxRowBytes,
): AsyncGenerator<Line> {
  const splitter = new LineSplitter(place, limit);
  for await (const chunk of bytes) for (const line of splitter.feed(chunk)) yield line;
  yield* splitter.end();
}

/** Takes text in pieces apart into lines. */
class LineSplitter {
  readonly #place: LinePlace;
  readonly #limit: number;
  #held: Buffer[] = [];
  #heldBytes = 0;

  constructor(place: LinePlace, limit: number) {
    this.#place = place;
    this.#limit = limit;
  }

  /** The lines that end in `chunk`, blank ones left out. */
  *feed(chunk: Buffer): Generator<Line> {
    let start = 0;
    while (start < chunk.length) {
      if (this.#heldBytes === 0) start = skipBlankLines(chunk, start, this.#place);
      const end = chunk.indexOf(lineFeed, start);
      if (end < 0) break;
      yield* this.#line(chunk.subarray(start, end));
      this.#place.number++;
      start = end + 1;
    }
    this.#hold(chunk.subarray(start));
  }

  /** The line that the end of the file ends, if there is one. */
  *end(): Generator<Line> {
    if (this.#heldBytes > 0) yield* this.#line(Buffer.alloc(0));
  }

  *#line(rest: Buffer): Generator<Line> {
    this.#hold(rest);
    const [only = rest] = this.#held;
    const bytes = this.#held.length < 2 ? only : Buffer.concat(this.#held);
    this.#held = [];
    this.#heldBytes = 0;
    const decoded = decodeStrictly(withoutReturn(bytes), this.#place.where);
    // A byte order mark stands at the beginning of a file and nowhere else.
    const text = this.#place.number === 1 ? decoded.replace(/^\ufeff/, "") : decoded;
    if (text.trim() !== "") yield { number: this.#place.number, text };
  }

  #hold(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#held.push(bytes);
    this.#heldBytes += bytes.length;
    checkLength(this.#heldBytes, this.#limit, this.#place);
  }
}

/** The first line from `start` on with more than white space on it, or the last one, which continues in the next piece. */
function skipBlankLines(chunk: Buffer, start: number, place: LinePlace): number {
  let begin = start;
  for (let i = start; i < chunk.length; i++) {
    const byte = chunk[i] as number;
    if (!isJsonSpace(byte)) break;
    if (byte !== lineFeed) continue;
    place.number++;
    begin = i + 1;
  }
  return begin;
}

function checkLength(bytes: number, limit: number, place: LinePlace): void {
  if (bytes <= limit) return;
  throw new DataError(
    `${place.where()}: expected lines of at most ${mebibytes(limit)}, got a longer one. ` +
      `Is this really a file with one row per line?`,
  );
}

function withoutReturn(bytes: Buffer): Buffer {
  return bytes.at(-1) === 0x0d ? bytes.subarray(0, -1) : bytes;
}

const strictDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The text in `bytes`. @throws DataError when they are not UTF-8 */
export function decodeStrictly(bytes: Uint8Array, where: () => string): string {
  try {
    return strictDecoder.decode(bytes);
  } catch (error) {
    throw notUtf8(where(), error);
  }
}

/**
 * The text of `file` in pieces, for parsers that find their own line breaks.
 *
 * @param where - gives the place reached so far (`file:line`)
 * @throws DataError when it is not UTF-8 or the file is damaged
 */
export async function* readText(file: DataFile, where: () => string): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const decode = (bytes?: Buffer): string => {
    try {
      return bytes === undefined ? decoder.decode() : decoder.decode(bytes, { stream: true });
    } catch (error) {
      throw notUtf8(where(), error);
    }
  };
  for await (const chunk of readBytes(file, where)) yield decode(chunk);
  yield decode();
}

function notUtf8(where: string, cause: unknown): DataError {
  return new DataError(`${where}: expected UTF-8 text, got other bytes. Save the file as UTF-8.`, { cause });
}

/** A limit in words. */
export function mebibytes(bytes: number): string {
  return bytes >= 1024 * 1024 ? `${Math.round(bytes / (1024 * 1024))} MiB` : `${bytes} bytes`;
}
