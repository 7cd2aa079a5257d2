/** What `train_data`, `eval_data` and `columns` accept: the keys whose values have a structure that is read first. */
import { existsSync } from "node:fs";
import { z } from "zod";
import { type ColumnName, columnNames } from "../base/column-names.ts";
import { DataError } from "../base/errors.ts";

/** Which columns of a file hold what: preftune's name of a column to the file's name of it. */
export type ColumnMapping = Partial<Record<ColumnName, string>>;

/** One source of rows. */
export interface DatasetSpec {
  /** A file, a directory, a glob or a hub id. */
  path: string;
  /** Weight of this source in the mixture, relative to the other sources' weights; null, as in all others then: all rows. */
  weight: number | null;
  /** Columns of this source; null: the run's `columns`. */
  columns: ColumnMapping | null;
  /** Split of a hub data set; null: the only one, or "train". */
  split: string | null;
  /** Configuration (subset) of a hub data set. */
  name: string | null;
}

/**
 * A source as the data layer names it: a path, or `hub:owner/name/folder:split`.
 *
 * @throws {DataError} for a configuration of what is on this machine
 */
export function sourcePath({ path, name: folder, split }: DatasetSpec): string {
  // a folder inside a data set can only mean one on the hub, which then needs saying
  const isHub = folder !== null && !path.startsWith("hub:");
  if (isHub && existsSync(path)) {
    throw new DataError(
      `${path}: name is the configuration of a data set on the hub, and ${path} is on this machine. ` +
        `Take name out and give the folder (path: ${path}/${folder}), or write path: hub:${path}.`,
    );
  }
  const parts = [
    isHub ? "hub:" : "",
    path,
    folder === null ? "" : `/${folder}`,
    split === null ? "" : `:${split}`,
  ];
  return parts.join("");
}

const name = z.string().min(1);

/** Preftune's column names to the file's. */
export const columnMapping = z.strictObject(
  Object.fromEntries(columnNames.map((column) => [column, name.optional()])),
) as unknown as z.ZodType<ColumnMapping>;

function asList(value: unknown): unknown {
  if (value === null || value === undefined) return value;
  const list = (Array.isArray(value) ? value : [value]).map((entry: unknown) =>
    typeof entry === "string" ? { path: entry } : entry,
  );
  const isWeighted = list.some((entry) => (Object(entry).weight ?? null) !== null);
  return isWeighted ? list.map(withWeight) : list;
}

/** A source without a weight beside others that have one: it has 1. */
function withWeight(entry: unknown): unknown {
  const isPlain = typeof entry === "object" && entry !== null && !Array.isArray(entry);
  return isPlain ? { ...entry, weight: (entry as Partial<DatasetSpec>).weight ?? 1 } : entry;
}

/** One source or several, each a path or an object; read as a list of objects. */
export const datasets = z.preprocess(
  asList,
  z
    .array(
      z.strictObject({
        path: name,
        weight: z.number().gt(0).nullable().default(null),
        columns: columnMapping.nullable().default(null),
        split: name.nullable().default(null),
        name: name.nullable().default(null),
      }),
    )
    .min(1),
) as unknown as z.ZodType<DatasetSpec[]>;

/** What a list of sources is, in words. */
export const expectedDatasets =
  "a path or hub id, or a list of them or of objects with path, weight, columns, split, name";
