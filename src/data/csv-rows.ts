/** Rows of CSV and TSV files, streamed. The first line names the columns. */
import { Readable } from "node:stream";
import { CsvError, type Info, type Parser, parse } from "csv-parse";

import { DataError } from "../base/errors.ts";
import type { DataFile } from "./data-file.ts";
import type { RawRow } from "./example.ts";
import { mebibytes, readText } from "./lines.ts";
import { maxColumns, maxRowBytes } from "./read-meter.ts";

/**
 * The rows of a CSV file, each named by the line it begins on. All values are strings.
 *
 * @throws DataError naming file and line: another number of cells than columns, a quote left open, a column named twice
 */
export async function* readCsv(file: DataFile): AsyncGenerator<RawRow> {
  let [line, twice] = [1, 0];
  const parser = createParser(file);
  const pieces = readText(file, () => `${file.name}:${line}`);
  const text = Readable.from(bounded(pieces, parser, file));
  text.on("error", (error) => parser.destroy(error));
  try {
    for await (const item of text.pipe(parser)) {
      const { record, info } = item as { record: Record<string, unknown>; info: Info };
      // csv-parse counts the lines read so far; a quoted cell can span several, and its CR LFs are counted twice.
      const { ends, pairs } = lineEnds(record);
      const begins = info.lines - ends - twice;
      twice += pairs;
      line = info.lines - twice;
      yield { origin: { file: file.name, line: begins }, value: record, isText: true };
    }
  } catch (error) {
    throw error instanceof CsvError ? csvFailure(error, file) : error;
  } finally {
    text.destroy();
    parser.destroy();
  }
}

/** Characters of the line that names the columns, beyond a piece of the file. */
const maxHeader = 1024 * 1024;

/** Refuses an endless line: csv-parse counts the characters of cells alone. */
async function* bounded(
  pieces: AsyncIterable<string>,
  parser: Parser,
  file: DataFile,
): AsyncGenerator<string> {
  let [lines, characters] = [-1, 0];
  for await (const piece of pieces) {
    if (parser.info.lines !== lines) [lines, characters] = [parser.info.lines, 0];
    characters += piece.length;
    const isHeader = parser.info.records === 0 && lines <= 1;
    if (isHeader && characters > maxHeader) throw headerTooLong(`${file.name}:1`);
    if (characters > 2 * maxRowBytes) throw tooLong(`${file.name}:${lines}`);
    yield piece;
  }
}

function headerTooLong(where: string): DataError {
  return new DataError(
    `${where}: expected at most ${maxColumns} columns, named in a line of at most ${mebibytes(maxHeader)}, got a longer one. ` +
      "Is a quote left open?",
  );
}

function tooLong(where: string): DataError {
  return new DataError(
    `${where}: expected rows of at most ${mebibytes(maxRowBytes)}, got a longer one. Is a quote left open?`,
  );
}

function createParser(file: DataFile): Parser {
  return parse({
    bom: true,
    delimiter: file.format === "tsv" ? "\t" : ",",
    info: true,
    max_record_size: maxRowBytes,
    // csv-parse would take the end of the first line for that of all.
    record_delimiter: ["\r\n", "\n", "\r"],
    skip_empty_lines: true,
    columns: (names: string[]) => {
      checkDelimiter(names, file);
      checkNames(names, file);
      return names;
    },
  });
}

/** Spreadsheets of many countries divide cells by semicolons, and exports by tabs. */
function checkDelimiter(names: readonly string[], file: DataFile): void {
  const [only = ""] = names;
  const other = file.format === "tsv" ? /[,;]/.exec(only) : /[;\t]/.exec(only);
  if (names.length !== 1 || other === null) return;
  const [mark, others] =
    file.format === "tsv" ? ["tabs", "commas or semicolons"] : ["commas", "semicolons or tabs"];
  throw new DataError(
    `${file.name}:1: expected the names of columns divided by ${mark}, got one name with ${others} in it. ` +
      `Save the table with ${mark}${other[0] === "\t" ? ", or give the file's name the ending .tsv" : ""}.`,
  );
}

function checkNames(names: readonly string[], file: DataFile): void {
  if (names.length > maxColumns) {
    throw new DataError(
      `${file.name}:1: expected at most ${maxColumns} columns, got ${names.length}. Keep those that belong to the rows.`,
    );
  }
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) {
    throw new DataError(`${file.name}:1: expected every column to have its own name, got "${twice}" twice.`);
  }
}

/** Characters that end lines in the cells of a row, and how many of their CRs have an LF behind them. */
function lineEnds(record: Record<string, unknown>): { ends: number; pairs: number } {
  const text = Object.values(record).join(" ");
  return { ends: text.match(/[\r\n]/g)?.length ?? 0, pairs: text.match(/\r\n/g)?.length ?? 0 };
}

function csvFailure(error: CsvError, file: DataFile): DataError {
  const details = error as CsvError & { lines?: number; record?: unknown[]; columns?: unknown[] };
  const where = `${file.name}:${details.lines ?? "?"}`;
  switch (error.code) {
    case "CSV_RECORD_INCONSISTENT_COLUMNS":
      return new DataError(
        `${where}: expected ${details.columns?.length ?? "other"} cells as in the first line, ` +
          `got ${details.record?.length ?? "another number"}. Quote cells that hold commas.`,
      );
    case "CSV_QUOTE_NOT_CLOSED":
      return new DataError(`${where}: expected a closing quote before the end of the file. Is it cut short?`);
    case "CSV_MAX_RECORD_SIZE":
      return tooLong(where);
    default:
      return new DataError(
        `${where}: expected CSV with quotes doubled inside quoted cells, but a quote stands where none can (${error.code}).`,
      );
  }
}
