/** Rows that come as token ids: `prompt_ids` with `chosen_ids` and `rejected_ids`, or with `completion_ids`. */
import { numberOf } from "../text/json-number.ts";
import type { ColumnName, RowColumns } from "./columns.ts";
import type { Completion } from "./example.ts";
import { storedValue } from "./stored-text.ts";

/** Token ids of a row. */
export interface TokenisedContent {
  promptIds: number[];
  completions: Completion[];
}

/** True when the row holds token ids. */
export function isTokenised(columns: RowColumns): boolean {
  const names = ["prompt_ids", "chosen_ids", "rejected_ids", "completion_ids"] as const;
  return names.some((name) => columns.has(name));
}

/**
 * The row's token ids.
 *
 * @throws DataError when a column is missing or is not a list of whole numbers from 0
 */
export function readTokenised(columns: RowColumns, task: "preference" | "sft"): TokenisedContent {
  const promptIds = requireIds(columns, "prompt_ids", task);
  if (task === "preference") {
    const answers = (["chosen_ids", "rejected_ids"] as const).map((name) => requireIds(columns, name, task));
    return { promptIds, completions: answers.map((ids) => ({ ids })) };
  }
  const name = columns.has("completion_ids") ? "completion_ids" : "chosen_ids";
  const ids = requireIds(columns, name, task);
  const mask = readMask(columns, ids.length);
  return { promptIds, completions: [mask === null ? { ids } : { ids, mask }] };
}

function requireIds(columns: RowColumns, name: ColumnName, task: "preference" | "sft"): number[] {
  if (!columns.has(name)) {
    const others = task === "preference" ? "chosen_ids and rejected_ids" : "completion_ids";
    throw columns.missing(`prompt_ids, ${others} in a row of token ids (no "${name}" here)`);
  }
  const value = readNumbers(columns, name);
  if (value === null || !value.every((id) => Number.isSafeInteger(id) && id >= 0)) {
    throw columns.wrongType(name, "a list of token ids (whole numbers from 0)");
  }
  return value;
}

function readMask(columns: RowColumns, length: number): number[] | null {
  if (!columns.has("completion_mask")) return null;
  const mask = readNumbers(columns, "completion_mask");
  if (mask !== null && mask.length === length && mask.every((bit) => bit === 0 || bit === 1)) return mask;
  throw columns.wrongType(
    "completion_mask",
    `a list of ${length} numbers 0 or 1, one for each completion token`,
  );
}

function readNumbers(columns: RowColumns, name: ColumnName): number[] | null {
  const given = columns.get(name);
  const value = typeof given === "string" ? storedValue(given) : given;
  if (!Array.isArray(value)) return null;
  const numbers = value.map(numberOf);
  return numbers.every((item) => item !== null) ? numbers : null;
}
