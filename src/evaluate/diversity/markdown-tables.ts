/** Whether the rows of tables have as many cells as their heads. */

const rule = /^\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;

/** True for the line of dashes under a table's head. */
export function isRule(line: string): boolean {
  return line.includes("|") && rule.test(line.trim());
}

/**
 * Whether neighbouring lines that each hold a bar are a faulty table: a row with another number of cells than the head, or
 * two or more rows that begin and end with a bar and have no line of dashes as the second.
 */
export function tableIsRagged(rows: readonly string[]): boolean {
  const head = rows.findIndex((_, i) => isRule(rows[i + 1] ?? ""));
  const table = head < 0 ? [] : rows.slice(head);
  const before = head < 0 ? rows : rows.slice(0, head);
  const bare = before.filter((row) => /^\s*\|.*\|\s*$/.test(row)).length;
  if (bare >= 2) return true;
  const width = cellsOf(table[0] ?? "");
  return table.some((row) => cellsOf(row) !== width);
}

/** Cells of a row: bars behind a backslash do not part them, bars at the ends are a frame. */
function cellsOf(row: string): number {
  const inner = row
    .trim()
    .replaceAll(/\\[\\|]/g, "")
    .replace(/^\|/, "")
    .replace(/\|$/, "");
  return inner.split("|").length;
}
