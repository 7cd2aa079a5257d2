/** Reads the tables that commands print. */

/** The cells of a table's row, without its name. */
export function rowOf(table: string, name: string): string[] | undefined {
  const line = table.split("\n").find((text) => text.startsWith(`${name}  `));
  return line?.slice(name.length).trim().split(/ {2,}/);
}
