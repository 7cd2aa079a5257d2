/** Rows of JSON files: one object per line, or a list of objects. */
import { at } from "../base/at.ts";
import { DataError } from "../base/errors.ts";
import { isRecord } from "../base/is-record.ts";
import { isJsonSpace, JsonListReader, LongElementError } from "../formats/json-list.ts";
import { JsonError, parseJson } from "../text/json.ts";
import { ByteReader } from "./byte-reader.ts";
import { type DataFile, readBytes } from "./data-file.ts";
import { describeOrigin, faultyRow, type Origin, type RawRow } from "./example.ts";
import { decodeStrictly, type Line, LinePlace, linesOf, mebibytes, readLines } from "./lines.ts";
import { maxColumns, maxRowBytes } from "./read-meter.ts";

/**
 * The rows of a file with one JSON object per line; blank lines are passed over.
 *
 * @throws DataError naming file and line
 */
export function readJsonLines(file: DataFile): AsyncGenerator<RawRow> {
  return rowsOfLines(readLines(file), file);
}

/**
 * The rows of lines with one JSON object each.
 *
 * @throws DataError naming file and line
 */
export async function* rowsOfLines(
  lines: AsyncIterable<Line>,
  file: Pick<DataFile, "name" | "format">,
): AsyncGenerator<RawRow> {
  for await (const { number, text } of lines) {
    if (number === 1) checkFirstLine(text, file);
    yield readRow(text, { file: file.name, line: number }, "one JSON object per line");
  }
}

/**
 * The rows of a `.json` file: a list of objects, numbered from 1 and read one by one. Files of this name that hold JSON lines,
 * as many on the hub do, are read as such.
 *
 * @throws DataError naming file and row
 */
export async function* readJson(file: DataFile): AsyncGenerator<RawRow> {
  const place = new LinePlace(file.name);
  const reader = new ByteReader(readBytes(file, place.where));
  try {
    if ((await firstByte(reader, place)) === 0x5b) yield* readList(reader, file);
    else yield* rowsOfLines(linesOf(reader, place), file);
  } finally {
    await reader.close();
  }
}

/** The first byte that is not white space, or null; `reader` stands before it, `place` at its line. */
export async function firstByte(reader: ByteReader, place: LinePlace): Promise<number | null> {
  await skipByteOrderMark(reader);
  for (let bytes = await reader.next(); bytes !== null; bytes = await reader.next()) {
    let begin = 0;
    for (; begin < bytes.length && isJsonSpace(bytes[begin] as number); begin++) {
      if (bytes[begin] === 0x0a) place.number++;
    }
    if (begin === bytes.length) continue;
    reader.unread(bytes.subarray(begin));
    return at(bytes, begin);
  }
  return null;
}

async function skipByteOrderMark(reader: ByteReader): Promise<void> {
  const bytes = await reader.upTo(3);
  if (bytes.toString("hex") !== "efbbbf") reader.unread(bytes);
}

async function* readList(bytes: AsyncIterable<Buffer>, file: DataFile): AsyncGenerator<RawRow> {
  const list = new JsonListReader(maxRowBytes);
  const origin = { file: file.name, line: 0 };
  const where = (): string => describeOrigin(origin);
  try {
    for await (const piece of bytes) {
      for (const element of list.feed(piece)) {
        origin.line++;
        yield readRow(decodeStrictly(element, where), { ...origin }, "a JSON object");
      }
    }
  } catch (error) {
    if (!(error instanceof LongElementError)) throw error;
    origin.line++;
    throw new DataError(`${where()}: expected rows of at most ${mebibytes(maxRowBytes)}, got a longer one.`);
  }
  const rest = list.rest();
  if (rest !== null) {
    origin.line++;
    yield readRow(decodeStrictly(rest, where), origin, "a JSON object");
  }
  const end = list.end();
  if (end === "whole") return;
  const reason =
    end === "open" ? "it has no end. Is the file cut short?" : "more stands behind its end. Take that out.";
  throw new DataError(`${file.name}: expected a JSON list of rows, but ${reason}`);
}

/** The two forms that are taken for JSON lines by mistake: a list under another name, and one object over many lines. */
function checkFirstLine(text: string, { name, format }: Pick<DataFile, "name" | "format">): void {
  if (format === "jsonl" && text.trimStart().startsWith("[")) {
    throw new DataError(
      `${name}:1: expected one JSON object per line, got the beginning of a list. If the file is one list of rows, give its ` +
        `name the ending .json.`,
    );
  }
  if (format === "json" && /^\s*\{\s*$/.test(text)) {
    throw new DataError(
      `${name}:1: expected a list of rows, or one JSON object per line, got an object over several lines. ` +
        `Put its rows into a list ([...]), or write each on one line.`,
    );
  }
}

/** The row in `text`. What is JSON but does not say one thing is a fault of this row alone. */
function readRow(text: string, origin: Origin, expected: string): RawRow {
  const where = describeOrigin(origin);
  try {
    const value = asObject(parseJson(text), where);
    const columns = Object.keys(value).length;
    if (columns <= maxColumns) return { origin, value };
    throw new JsonError("meaning", `it has ${columns} columns, and at most ${maxColumns} are read`);
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    const fault = new DataError(`${where}: expected ${expected}, but ${error.message}.`, { cause: error });
    if (error.fault === "syntax") throw fault;
    return faultyRow(origin, fault);
  }
}

function asObject(value: unknown, where: string): Record<string, unknown> {
  if (isRecord(value)) return value;
  const kind = value === null ? "null" : Array.isArray(value) ? "a list" : `a ${typeof value}`;
  throw new DataError(`${where}: expected a row to be an object with named columns, got ${kind}.`);
}
