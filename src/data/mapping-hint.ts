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
  const names = Object.keys(row.value);
  const given = new Set<string>(Object.values(columns));
  let guesses: ColumnMap = {};
  for (const name of wanted[task]) {
    if (names.includes(name) || columns[name] !== undefined) continue;
    const free = names.filter((column) => !given.has(column));
    const column = likelyColumn(name, free);
    if (column === null) continue;
    given.add(column);
    guesses = { ...guesses, [name]: column };
  }
  if (Object.keys(guesses).length === 0 || !reads({ ...columns, ...guesses })) {
    return ` If they are there by other names, "columns" says which (docs/data.md, "Columns of other names").`;
  }
  for (const name of Object.keys(guesses)) {
    const { [name as ColumnName]: _, ...fewer } = guesses;
    if (Object.keys(fewer).length > 0 && reads({ ...columns, ...fewer })) guesses = fewer;
  }
  const words = Object.entries(guesses).map(
    ([name, column]) => `"${column}" is the ${meanings[name as ColumnName] ?? name}`,
  );
  return ` If ${words.join(" and ")}, set ${columnsKey({ ...columns, ...guesses })}.`;
}
