/** Rows of CSV, whose cells are all text, as files that know other types have them. */
import { columnNames } from "../base/column-names.ts";
import { isRecord } from "../base/is-record.ts";
import { numberInText } from "../text/json-number.ts";
import { type ColumnMap, type ColumnName, isIn, RowColumns } from "./columns.ts";
import type { RawRow } from "./example.ts";
import { asLabel } from "./labels.ts";
import { messagesInText, storedValue } from "./stored-text.ts";

/** Columns whose cells are read as text elsewhere, and as something else where all cells are text. */
const kinds: Readonly<Partial<Record<ColumnName, "number" | "label" | "answer">>> = {
  ref_chosen_logps: "number",
  ref_rejected_logps: "number",
  margin: "number",
  rating: "number",
  label: "label",
  chosen: "answer",
  rejected: "answer",
  completion: "answer",
};

/**
 * The values of a row, which read from a file of JSON lines are the same row. Of CSV, numbers and labels become numbers, true and
 * false, messages as text become messages, and cells that mean no value null. Of Parquet, where a structure lacks what its field of
 * that name would hold, a field that `map` names is null. All else stays as it is.
 *
 * @param map - as the row was read
 */
export function typedValues(row: RawRow, map: ColumnMap): Record<string, unknown> {
  if (row.isText !== true) return withFields(row, map);
  const columns = new RowColumns(row, map);
  const typed = columnNames
    .filter((name) => columns.exists(name) && Object.hasOwn(row.value, columns.nameOf(name)))
    .map((name) => [columns.nameOf(name), typedCell(columns, name)] as const);
  return { ...row.value, ...Object.fromEntries(typed) };
}

/** JSON has no schema that says of a field which is not there that it is one. */
function withFields(row: RawRow, map: ColumnMap): Record<string, unknown> {
  const { origin, value } = row;
  const lacking = Object.values(map).filter((path) => !isIn({ origin, value }, path) && isIn(row, path));
  return lacking.reduce((whole, path) => withNull(whole, path.split(".")), value);
}

function withNull(value: Record<string, unknown>, [key = "", ...rest]: string[]): Record<string, unknown> {
  const part = value[key];
  return { ...value, [key]: rest.length > 0 && isRecord(part) ? withNull(part, rest) : null };
}

function typedCell(columns: RowColumns, name: ColumnName): unknown {
  const cell = columns.peek(name) ?? null;
  const kind = kinds[name];
  if (typeof cell !== "string" || kind === undefined) return cell;
  if (kind === "answer") return messagesInText(cell, columns.place(name)) ?? cell;
  const number = kind === "number" ? numberInText(cell) : null;
  if (number !== null && Number.isFinite(number)) return number;
  const label = kind === "label" ? asLabel(cell, true) : null;
  if (label !== null) return label;
  // what several people said
  const stored = storedValue(cell);
  return Array.isArray(stored) ? stored : cell;
}
