/** The column mapping that would make a row readable, tried before it is proposed. */
import type { ColumnName } from "../base/column-names.ts";
import { columnsKey, likelyColumn, mayBePrompt } from "./column-hints.ts";
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
  const guess = guesses(row.value, { task, columns }).find((map) => reads({ ...columns, ...map }));
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
  value: Readonly<Record<string, unknown>>,
  { task, columns }: { task: "preference" | "sft"; columns: ColumnMap },
): ColumnMap[] {
  const taken = new Set<string>(Object.values(columns));
  const found = Object.keys(value);
  const free = found.filter((column) => !taken.has(column));
  // Text in a column of any name may be the prompt, where there is one such column.
  const texts = free.filter((column) => mayBePrompt(column, value[column]));
  let maps: ColumnMap[] = [{}];
  for (const name of wanted[task]) {
    if (found.includes(name) || columns[name] !== undefined) continue;
    const column = likelyColumn(name, free) ?? (name === "prompt" ? onlyText(texts, task) : null);
    if (column === null) continue;
    const others = maps.filter((map) => !Object.values(map).includes(column));
    maps = [...maps, ...others.map((map) => ({ ...map, [name]: column }))];
  }
  return maps.slice(1).sort((a, b) => Object.keys(a).length - Object.keys(b).length);
}

/** The one column of text that is no answer by its name; null where there are more. */
function onlyText(texts: readonly string[], task: "preference" | "sft"): string | null {
  const answers = wanted[task].filter((name) => name !== "prompt").map((name) => likelyColumn(name, texts));
  const others = texts.filter(
    (column) => !answers.includes(column) && !wanted[task].some((name) => name === column),
  );
  return others.length === 1 ? (others[0] ?? null) : null;
}
