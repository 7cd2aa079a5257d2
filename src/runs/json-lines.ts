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
import { linesIn } from "../base/lines.ts";
import { filePieces, readRange } from "../base/open-file.ts";

/** Bytes at the end of a file in which the last newline is looked for at a time. */
const tailBytes = 64 * 1024;

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
  return [...jsonLines(path)];
}

function* jsonLines(path: string): Generator<JsonLine> {
  let [line, offset] = [0, 0];
  for (const bytes of linesOf(path)) {
    const text = bytes.toString("utf8", 0, bytes.length - 1);
    line += 1;
    yield { value: parseLine(text, path, line), line, offset };
    offset += bytes.length;
  }
}

/** Removes the rows after the one of `step`, which a resumed run makes again. @throws {FormatError} as {@link readJsonLines} */
export function cutAfterStep(path: string, step: number): void {
  for (const { value, offset } of jsonLines(path)) {
    if (!isRecord(value) || !(Number(value["global_step"]) > step)) continue;
    cutTo(path, offset);
    return;
  }
}

/** The lines of a file from a byte on that hold a JSON object, each with its newline and its value; what is after the last newline does not count. */
export function* wholeLines(
  path: string,
  from = 0,
): Generator<{ bytes: Buffer; value: Record<string, unknown> }> {
  for (const bytes of linesOf(path, from)) {
    const value = objectIn(bytes);
    if (value !== null) yield { bytes, value };
  }
}

/** How many complete lines of a file hold no JSON object. */
export function damagedLines(path: string): number {
  let damaged = 0;
  for (const bytes of linesOf(path)) if (objectIn(bytes) === null) damaged += 1;
  return damaged;
}

/** The complete lines of a file, each with its newline, read in pieces. A line is valid until the next one is asked for. */
function* linesOf(path: string, from = 0): Generator<Buffer> {
  if (!existsSync(path)) return;
  try {
    yield* linesIn(filePieces(path, { from }));
  } catch (cause) {
    throw fileFailure({ action: "read", path, cause });
  }
}

function objectIn(line: Buffer): Record<string, unknown> | null {
  try {
    const value = parseNumbers(new TextDecoder("utf-8", { fatal: true }).decode(line));
    return isRecord(value) ? value : null;
  } catch {
    return null;
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
  try {
    const { size } = statSync(path);
    const length = endOfLines(path, size);
    if (length < size) cutTo(path, length);
  } catch (cause) {
    throw fileFailure({ action: "read", path, cause });
  }
}

/** Bytes up to the last newline, which is looked for from the end. */
function endOfLines(path: string, size: number): number {
  for (let to = size; to > 0; to -= tailBytes) {
    const from = Math.max(0, to - tailBytes);
    const last = readRange(path, from, to).lastIndexOf(10);
    if (last >= 0) return from + last + 1;
  }
  return 0;
}
