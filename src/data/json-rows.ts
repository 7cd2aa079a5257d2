/** Rows of JSON files: one object per line, or a list of objects. */
import { DataError } from "../base/errors.ts";
import { listElements } from "../formats/json-scan.ts";
import { JsonError, parseJson } from "../text/json.ts";
import { type DataFile, readBytes } from "./data-file.ts";
import { describeOrigin, faultyRow, type Origin, type RawRow } from "./example.ts";
import { readLines, readWhole } from "./lines.ts";

/**
 * The rows of a file with one JSON object per line; blank lines are passed over.
 *
 * @throws DataError naming file and line
 */
export async function* readJsonLines(file: DataFile): AsyncGenerator<RawRow> {
  for await (const { number, text } of readLines(file)) {
    if (text.trim() === "") continue;
    if (number === 1) checkFirstLine(text, file);
    yield readRow(text, { file: file.name, line: number }, "one JSON object per line");
  }
}

/**
 * The rows of a `.json` file: a list of objects, numbered from 1. Files of this name that hold JSON lines, as many
 * on the hub do, are read as such.
 *
 * @throws DataError naming file and row
 */
export async function* readJson(file: DataFile): AsyncGenerator<RawRow> {
  if ((await firstCharacter(file)) !== "[") {
    yield* readJsonLines(file);
    return;
  }
  const text = (await readWhole(file)).replace(/^\ufeff/, "");
  const elements = listElements(text);
  let line = 0;
  for (let next = elements.next(); ; next = elements.next()) {
    if (next.done === true) {
      if (next.value === "whole") return;
      const reason =
        next.value === "open"
          ? "it has no end. Is the file cut short?"
          : "more stands behind its end. Take that out.";
      throw new DataError(`${file.name}: expected a JSON list of rows, but ${reason}`);
    }
    yield readRow(next.value, { file: file.name, line: ++line }, "a JSON object");
  }
}

/** The two forms that are taken for JSON lines by mistake: a list under another name, and one object over many lines. */
function checkFirstLine(text: string, { name, format }: DataFile): void {
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
    return { origin, value: asObject(parseJson(text), where) };
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    const fault = new DataError(`${where}: expected ${expected}, but ${error.message}.`, { cause: error });
    if (error.fault === "syntax") throw fault;
    return faultyRow(origin, fault);
  }
}

async function firstCharacter(file: DataFile): Promise<string> {
  for await (const chunk of readBytes(file, () => file.name)) {
    const text = chunk.toString("utf8").trimStart(); // trimStart takes a byte order mark off too
    if (text !== "") return text.charAt(0);
  }
  return "";
}

function asObject(value: unknown, where: string): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>;
  const kind = value === null ? "null" : Array.isArray(value) ? "a list" : `a ${typeof value}`;
  throw new DataError(`${where}: expected a row to be an object with named columns, got ${kind}.`);
}
