/** Rows of JSON files: one object per line, or a list of objects. */
import { DataError } from "../base/errors.ts";
import { JsonError, parseJson } from "../text/json.ts";
import { type DataFile, readBytes } from "./data-file.ts";
import type { RawRow } from "./example.ts";
import { readLines, readWhole } from "./lines.ts";

/**
 * The rows of a file with one JSON object per line; blank lines are passed over.
 *
 * @throws DataError naming file and line
 */
export async function* readJsonLines(file: DataFile): AsyncGenerator<RawRow> {
  for await (const { number, text } of readLines(file)) {
    if (text.trim() === "") continue;
    const where = `${file.name}:${number}`;
    const value = parse(text, where, "one JSON object per line");
    yield { origin: { file: file.name, line: number }, value: asObject(value, where) };
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
  const list = parse((await readWhole(file)).replace(/^\ufeff/, ""), file.name, "a JSON list");
  if (!Array.isArray(list)) throw new DataError(`${file.name}: expected a JSON list of rows.`);
  for (const [index, value] of list.entries()) {
    const line = index + 1;
    yield { origin: { file: file.name, line }, value: asObject(value, `${file.name}, row ${line}`) };
  }
}

async function firstCharacter(file: DataFile): Promise<string> {
  for await (const chunk of readBytes(file, () => file.name)) {
    const text = chunk.toString("utf8").trimStart(); // trimStart takes a byte order mark off too
    if (text !== "") return text.charAt(0);
  }
  return "";
}

function parse(text: string, where: string, expected: string): unknown {
  try {
    return parseJson(text);
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    throw new DataError(`${where}: expected ${expected}, but ${error.message}.`, { cause: error });
  }
}

function asObject(value: unknown, where: string): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>;
  const kind = value === null ? "null" : Array.isArray(value) ? "a list" : `a ${typeof value}`;
  throw new DataError(`${where}: expected a row to be an object with named columns, got ${kind}.`);
}
