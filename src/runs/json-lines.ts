/**
 * Files of JSON lines that are appended to during a run, and which a crash may truncate anywhere.
 *
 * A line is one write. A last line without its newline is torn: readers leave it out, and it is removed when the file
 * is opened again.
 */
import { existsSync, fstatSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { FormatError, messageOf } from "../base/errors.ts";
import {
  fileFailure,
  ignoreErrors,
  io,
  makeDirectories,
  syncDirectory,
  writeAllSync,
} from "../base/file-io.ts";
import { isRecord } from "../base/is-record.ts";
import { parseNumbers, stringifyNumbers } from "../base/json-numbers.ts";
import { mostAtOnce, readFileBytes } from "../base/open-file.ts";

/** One line: its value and where it stands. */
export interface JsonLine {
  value: unknown;
  /** 1-based. */
  line: number;
  /** Bytes before it. */
  offset: number;
}

/** An open file of JSON lines, written at its end. */
export class JsonLinesWriter {
  readonly path: string;
  #fd: number;
  #hasFailed = false;

  /** @throws {FileError} when the file cannot be opened */
  constructor(path: string) {
    this.path = path;
    cutTornLine(path);
    const isNew = !existsSync(path);
    try {
      if (isNew) makeDirectories(dirname(path));
      this.#fd = io.openSync(path, "a");
      if (isNew) syncDirectory(dirname(path));
    } catch (cause) {
      throw fileFailure({ action: "open", path, cause });
    }
  }

  /**
   * Appends `value` as one line.
   *
   * @throws {FileError} when it cannot be written; what was written of it is taken back
   */
  write(value: unknown): void {
    const bytes = Buffer.from(`${stringifyNumbers(value)}\n`, "utf8");
    const before = fstatSync(this.#fd).size;
    try {
      writeAllSync(this.#fd, bytes);
    } catch (cause) {
      this.#hasFailed = true;
      ignoreErrors(() => io.ftruncateSync(this.#fd, before));
      const kept = "All earlier lines are untouched.";
      throw fileFailure({ action: "append to", path: this.path, cause, bytes: bytes.byteLength, kept });
    }
  }

  /** Whether nothing is in the file yet. */
  isEmpty(): boolean {
    return fstatSync(this.#fd).size === 0;
  }

  /** Makes everything written so far safe against a power cut. */
  sync(): void {
    try {
      io.fsyncSync(this.#fd);
    } catch (cause) {
      throw fileFailure({ action: "sync", path: this.path, cause });
    }
  }

  #closeFile(fd: number): void {
    try {
      io.closeSync(fd);
    } catch (cause) {
      // a line that has failed already is the error to tell
      if (!this.#hasFailed) throw fileFailure({ action: "close", path: this.path, cause });
    }
  }

  /** Syncs and closes; after a line that could not be written it throws nothing more. Closing twice is harmless. */
  close(): void {
    if (this.#fd < 0) return;
    const fd = this.#fd;
    try {
      if (!this.#hasFailed) this.sync();
    } finally {
      this.#fd = -1;
      this.#closeFile(fd);
    }
  }
}

/**
 * The complete lines of a file; none when it does not exist.
 *
 * @throws {FormatError} naming the line when one that is not torn is no JSON
 */
export function readJsonLines(path: string): JsonLine[] {
  const parts = completeLines(path).toString("utf8").split("\n");
  parts.pop(); // What follows the last newline is nothing.
  let offset = 0;
  return parts.map((text, index) => {
    const line = { value: parseLine(text, path, index + 1), line: index + 1, offset };
    offset += Buffer.byteLength(text, "utf8") + 1;
    return line;
  });
}

/** Of a file's bytes the lines that hold a JSON object, and how many others there are; what is after the last newline does not count. */
export function wholeLines(bytes: Buffer): { lines: Buffer; damaged: number } {
  const lines: Buffer[] = [];
  let damaged = 0;
  let from = 0;
  for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, from)) {
    const line = bytes.subarray(from, end + 1);
    if (isObject(line)) lines.push(line);
    else damaged += 1;
    from = end + 1;
  }
  return { lines: Buffer.concat(lines), damaged };
}

function isObject(line: Buffer): boolean {
  try {
    return isRecord(parseNumbers(new TextDecoder("utf-8", { fatal: true }).decode(line)));
  } catch {
    return false;
  }
}

function parseLine(text: string, path: string, line: number): unknown {
  try {
    return parseNumbers(text);
  } catch (cause) {
    const what = `${path}:${line}: expected one JSON object on the line, got ${JSON.stringify(text.slice(0, 60))}`;
    throw new FormatError(
      `${what} (${messageOf(cause)}). The file was changed by hand or damaged: take the line out to continue without it.`,
      {
        cause,
      },
    );
  }
}

/**
 * Shortens a file to its first `bytes` bytes.
 *
 * @throws {FileError} when that fails
 */
export function cutTo(path: string, bytes: number): void {
  try {
    const fd = io.openSync(path, "r+");
    try {
      io.ftruncateSync(fd, bytes);
      io.fsyncSync(fd);
    } finally {
      io.closeSync(fd);
    }
  } catch (cause) {
    throw fileFailure({ action: "shorten", path, cause });
  }
}

function cutTornLine(path: string): void {
  if (!existsSync(path)) return;
  const { length } = completeLines(path);
  if (length < statSync(path).size) cutTo(path, length);
}

/** The bytes up to the last newline. A torn line may end inside a character, so it is removed before decoding. */
function completeLines(path: string): Buffer {
  if (!existsSync(path)) return Buffer.alloc(0);
  try {
    const bytes = readFileBytes(path, mostAtOnce);
    return bytes.subarray(0, bytes.lastIndexOf(10) + 1);
  } catch (cause) {
    throw fileFailure({ action: "read", path, cause });
  }
}
