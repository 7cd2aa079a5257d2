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
  const trimmed = text.replace(/^\uFEFF/, "").trim();
  const [header = ""] = trimmed.split(/\r\n|\n|\r/, 1);
  const isMarkdown = header.startsWith("|");
  const delimiter = ["\t", ",", ";"].toSorted((a, b) => times(header, b) - times(header, a))[0] ?? ",";
  if (!isMarkdown && times(header, delimiter) === 0) {
    throw new DataError(
      `${file}:1: expected the names of several columns divided by tabs, commas, semicolons or bars, got ${JSON.stringify(header.slice(0, 60))}.`,
    );
  }
  const cells = isMarkdown ? markdownCells(trimmed) : delimitedCells(trimmed, delimiter);
  const [names = [], ...rows] = cells;
  return rows.map((values, i): RawRow => {
    const line = i + 2;
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

function times(text: string, mark: string): number {
  return text.split(mark).length - 1;
}

function delimitedCells(text: string, delimiter: string): string[][] {
  try {
    return parse(text, { delimiter, skip_empty_lines: true, relax_column_count: true, relax_quotes: true });
  } catch (error) {
    throw new DataError(`${file}: expected a table, but: ${messageOf(error)}`, { cause: error });
  }
}

/** Cells of a Markdown table: `\|` is a bar of the text, `<br>` a new line. The line of dashes is left out. */
function markdownCells(text: string): string[][] {
  return text
    .split(/\r\n|\n|\r/)
    .map((line) =>
      line
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
    )
    .filter((cells) => !cells.every((cell) => /^:?-+:?$/.test(cell)));
}
