/** The column mapping that would make a row readable, tried before it is proposed. */
import type { ColumnName } from "../base/column-names.ts";
import { columnsKey, likelyColumn } from "./column-hints.ts";
import type { ColumnMap } from "./columns.ts";
import type { RawRow } from "./example.ts";

const wanted: Readonly<Record<"preference" | "sft", readonly ColumnName[]>> = {
  preference: ["prompt", "chosen", "rejected"],
  sft: ["prompt", "completion", "messages", "text"],
};
const meanings: Readonly<Partial<Record<ColumnName, string>>> = {
  chosen: "chosen answer",
  rejected: "rejected answer",
  messages: "conversation",
};

/**
 * A sentence with the mapping to set, to put behind an error; it names no more columns than are needed.
 *
 * @param reads - whether the row can be read with a mapping
 */
export function mappingHint(
  row: RawRow,
  { task, columns }: { task: "preference" | "sft"; columns: ColumnMap },
  reads: (map: ColumnMap) => boolean,
): string {
  const guess = guesses(Object.keys(row.value), { task, columns }).find((map) =>
    reads({ ...columns, ...map }),
  );
  if (guess === undefined) {
    return ` If they are there by other names, "columns" says which (docs/data.md, "Columns of other names").`;
  }
  const words = Object.entries(guess).map(
    ([name, column]) => `"${column}" is the ${meanings[name as ColumnName] ?? name}`,
  );
  return ` If ${words.join(" and ")}, set ${columnsKey({ ...columns, ...guess })}.`;
}

/** Mappings that the columns' names suggest, the shortest first. */
function guesses(
  found: readonly string[],
  { task, columns }: { task: "preference" | "sft"; columns: ColumnMap },
): ColumnMap[] {
  const taken = new Set<string>(Object.values(columns));
  const free = found.filter((column) => !taken.has(column));
  let maps: ColumnMap[] = [{}];
  for (const name of wanted[task]) {
    const column = found.includes(name) || columns[name] !== undefined ? null : likelyColumn(name, free);
    if (column === null) continue;
    const others = maps.filter((map) => !Object.values(map).includes(column));
    maps = [...maps, ...others.map((map) => ({ ...map, [name]: column }))];
  }
  return maps.slice(1).sort((a, b) => Object.keys(a).length - Object.keys(b).length);
}
