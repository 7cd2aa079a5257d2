/** Tables for the terminal: aligned columns, headings of one or more lines, numbers to the right. */

/**
 * The table as lines without a newline at the end.
 *
 * @param columns - headings; "\n" stacks words. The first column is aligned to the left, the others to the right
 * @param rows - as many cells a row as there are columns
 */
export function textTable(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  const stacked = columns.map((column) => column.split("\n"));
  const height = Math.max(...stacked.map((words) => words.length));
  const headings = Array.from({ length: height }, (_, line) =>
    stacked.map((words) => words[line - height + words.length] ?? ""),
  );
  const widths = columns.map((_, i) =>
    Math.max(...[...headings, ...rows].map((cells) => (cells[i] ?? "").length)),
  );
  const lineOf = (cells: readonly string[]): string =>
    widths
      .map((width, i) => (i === 0 ? (cells[i] ?? "").padEnd(width) : (cells[i] ?? "").padStart(width)))
      .join("  ")
      .trimEnd();
  const rule = "─".repeat(widths.reduce((sum, width) => sum + width + 2, -2));
  return [...headings.map(lineOf), rule, ...rows.map(lineOf)].join("\n");
}

/** The beginning of a text without anything that could steer the terminal. */
export function oneLine(text: string, width: number): string {
  const line = text
    .replace(/\s+/gu, " ")
    .replace(/[\p{C}\p{Zl}\p{Zp}]/gu, "\u00b7")
    .trim();
  const characters = [...line];
  return characters.length > width ? `${characters.slice(0, width - 1).join("")}…` : line;
}
