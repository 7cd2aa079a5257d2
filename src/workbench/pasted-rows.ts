/** Rows of a table that was copied: its first line names the columns. */
import { parse } from "csv-parse/sync";
import { DataError, messageOf } from "../base/errors.ts";
import type { RawRow } from "../data/example.ts";

const file = "pasted table";

/**
 * The rows, whose values are all texts. The mark between cells is the one that the first line has most of: a tab, a comma, a
 * semicolon, or the bars of a Markdown table.
 *
 * @throws {DataError} where the text is no table
 */
export function pastedRows(text: string): RawRow[] {
  const table = withoutEmptyLines(text.replace(/^\uFEFF/, ""));
  const [header = ""] = table.split(/\r\n|\n|\r/, 1);
  const isMarkdown = header.trim().startsWith("|");
  const delimiter = ["\t", ",", ";"].toSorted((a, b) => times(header, b) - times(header, a))[0] ?? ",";
  if (!isMarkdown && times(header, delimiter) === 0) {
    throw new DataError(
      `${file}:1: expected the names of several columns divided by tabs, commas, semicolons or bars, got ${JSON.stringify(header.slice(0, 60))}.`,
    );
  }
  const cells = isMarkdown ? markdownCells(table) : delimitedCells(table, delimiter);
  const [{ values: names } = { values: [] as string[] }, ...rows] = cells;
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined)
    throw new DataError(`${file}:1: expected columns of different names, got "${twice}" twice. Rename one.`);
  return rows.map(({ values, line }): RawRow => {
    if (values.length !== names.length) {
      throw new DataError(
        `${file}:${line}: expected ${names.length} cells as in the first line, got ${values.length}.`,
      );
    }
    return {
      origin: { file, line },
      value: Object.fromEntries(names.map((name, at) => [name, values[at]])),
      isText: true,
    };
  });
}

/** Spaces and tabs at the end of a line are cells that are empty: they stay. */
function withoutEmptyLines(text: string): string {
  const table = text.replace(/^\s*[\r\n]/, "");
  const end = table.trimEnd().length;
  const gap = table.slice(end).search(/[\r\n]/);
  return gap < 0 ? table : table.slice(0, end + gap);
}

function times(text: string, mark: string): number {
  return text.split(mark).length - 1;
}

/** A row of cells, and the line that it ends on. */
interface Cells {
  values: string[];
  line: number;
}

function delimitedCells(text: string, delimiter: string): Cells[] {
  try {
    const how = { delimiter, skip_empty_lines: true, relax_column_count: true, relax_quotes: true };
    const records = parse(text, { ...how, info: true }) as unknown as {
      record: string[];
      info: { lines: number };
    }[];
    return records.map(({ record, info }) => ({ values: record, line: info.lines }));
  } catch (error) {
    throw new DataError(`${file}: expected a table, but: ${messageOf(error)}`, { cause: error });
  }
}

/** Cells of a Markdown table: `\|` is a bar of the text, `<br>` a new line. The line of dashes is left out. */
function markdownCells(text: string): Cells[] {
  return text
    .split(/\r\n|\n|\r/)
    .map((row, i) => ({
      line: i + 1,
      values: row
        .trim()
        .replace(/^\|/, "")
        .replace(/(?<!\\)\|$/, "")
        .split(/(?<!\\)\|/)
        .map((cell) =>
          cell
            .trim()
            .replaceAll("\\|", "|")
            .replaceAll(/<br\s*\/?>/g, "\n"),
        ),
    }))
    .filter(({ line, values }) => line !== 2 || !values.every((cell) => /^:?-+:?$/.test(cell)));
}
