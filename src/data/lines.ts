/** Text of data files, strictly UTF-8: as numbered lines of limited length, or whole. */
import { DataError } from "../base/errors.ts";
import { type DataFile, readBytes } from "./data-file.ts";

/** One line without its line break. */
export interface Line {
  /** 1-based. */
  number: number;
  text: string;
}

/** Longest line accepted, in bytes: a compressed file of a few KiB can hold one line of many GiB. */
export const maxLineBytes: number = 64 * 1024 * 1024;

/** Largest JSON list accepted, in bytes: it is held in memory whole, and V8 ends strings at 512 MiB. */
const maxWholeBytes = 384 * 1024 * 1024;

const lineFeed = 0x0a;

/**
 * The lines of `file`. A byte order mark and carriage returns at line ends are left out.
 *
 * @throws DataError naming file and line when a line is longer than `limit` bytes, is not UTF-8, or the file is damaged
 */
export async function* readLines(file: DataFile, limit: number = maxLineBytes): AsyncGenerator<Line> {
  let number = 1;
  let pending: Buffer[] = [];
  let pendingBytes = 0;
  const where = (): string => `${file.name}:${number}`;
  const decode = strictDecoder();
  for await (const chunk of readBytes(file, where)) {
    let start = 0;
    for (let end = chunk.indexOf(lineFeed); end >= 0; end = chunk.indexOf(lineFeed, start)) {
      checkLength(pendingBytes + end - start, limit, where());
      yield { number, text: decode(Buffer.concat([...pending, chunk.subarray(start, end)]), where()) };
      number++;
      pending = [];
      pendingBytes = 0;
      start = end + 1;
    }
    pending.push(chunk.subarray(start));
    pendingBytes += chunk.length - start;
    checkLength(pendingBytes, limit, where());
  }
  if (pendingBytes > 0) yield { number, text: decode(Buffer.concat(pending), where()) };
}

function checkLength(bytes: number, limit: number, where: string): void {
  if (bytes <= limit) return;
  throw new DataError(
    `${where}: expected lines of at most ${mebibytes(limit)}, got a longer one. ` +
      `Is this really a file with one row per line?`,
  );
}

function strictDecoder(): (bytes: Buffer, where: string) => string {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  return (bytes, where) => {
    try {
      return decoder.decode(bytes.at(-1) === 0x0d ? bytes.subarray(0, -1) : bytes);
    } catch (error) {
      throw notUtf8(where, error);
    }
  };
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

/**
 * The whole text of `file`.
 *
 * @throws DataError when it is longer than `limit` bytes, not UTF-8, or damaged
 */
export async function readWhole(file: DataFile, limit: number = maxWholeBytes): Promise<string> {
  const pieces: string[] = [];
  let length = 0;
  for await (const piece of readText(file, () => file.name)) {
    length += piece.length;
    if (length > limit) {
      throw new DataError(
        `${file.name}: expected a JSON list of at most ${mebibytes(limit)}, got a longer one. ` +
          `Write it as JSON lines (.jsonl), which are read row by row.`,
      );
    }
    pieces.push(piece);
  }
  return pieces.join("");
}

function notUtf8(where: string, cause: unknown): DataError {
  return new DataError(`${where}: expected UTF-8 text, got other bytes. Save the file as UTF-8.`, { cause });
}

function mebibytes(bytes: number): string {
  return bytes >= 1024 * 1024 ? `${Math.round(bytes / (1024 * 1024))} MiB` : `${bytes} bytes`;
}
