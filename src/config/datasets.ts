/** Value types of the keys that name data: `train_data`, `eval_data` and `columns`. */
import { z } from "zod";
import { columnNames } from "../base/column-names.ts";
import type { ColumnMapping, DatasetSpec } from "./run-config.ts";
import { type ValueType, yamlOrNull } from "./value-types.ts";

/** Keys of one entry of `train_data`. */
export const DATASET_KEYS: readonly (keyof DatasetSpec)[] = ["path", "weight", "columns", "split", "name"];

const columnsSchema = z.strictObject(
  Object.fromEntries(columnNames.map((name) => [name, z.string().min(1).optional()])),
) as unknown as z.ZodType<ColumnMapping>;

const specSchema = z.strictObject({
  path: z.string().min(1),
  weight: z.number().gt(0).default(1),
  columns: columnsSchema.nullable().default(null),
  split: z.string().min(1).nullable().default(null),
  name: z.string().min(1).nullable().default(null),
});

function asList(value: unknown): unknown {
  if (value === null || value === undefined) return value;
  const list = Array.isArray(value) ? value : [value];
  return list.map((entry: unknown) => (typeof entry === "string" ? { path: entry } : entry));
}

const datasetsSchema = z.preprocess(asList, z.array(specSchema).min(1)) as unknown as z.ZodType<
  DatasetSpec[]
>;

/** Commas inside `{a,b}` belong to a glob, not to the list. */
function splitPaths(typed: string): string[] {
  return typed
    .split(/,(?![^{]*\})/)
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

/** One source or several, each a path or an object; read as a list of objects. */
export function datasets(): ValueType<DatasetSpec[]> {
  return {
    schema: datasetsSchema,
    expected: `a path or hub id, or a list of them or of objects with ${DATASET_KEYS.join(", ")}`,
    fromText: (typed) => (/^\s*[[{]/.test(typed) ? yamlOrNull(typed) : null) ?? splitPaths(typed),
  };
}

/** Preftune's column names to the file's. On a command line: YAML, or `prompt=question,chosen=best`. */
export function columnMapping(): ValueType<ColumnMapping> {
  return {
    schema: columnsSchema,
    expected: `a mapping from ${columnNames.slice(0, 4).join(", ")} … to the file's column names`,
    fromText: (typed) => {
      // YAML's flow form, which JSON is too: what error messages show can be pasted.
      if (typed.trim().startsWith("{")) return yamlOrNull(typed) ?? typed;
      const pairs = typed.split(",").map((part) => part.split("=").map((side) => side.trim()));
      return pairs.every((pair) => pair.length === 2) ? Object.fromEntries(pairs) : typed;
    },
  };
}
