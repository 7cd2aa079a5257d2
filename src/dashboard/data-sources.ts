/** Files of rows that can be cleaned from the page, by ids: versions of the workbench, and what the runs were trained on. */
import { realpathSync } from "node:fs";
import { basename, resolve } from "node:path";
import { sha256 } from "../base/files.ts";
import { statsOf } from "../base/open-file.ts";
import { type ColumnMapping, sourcePath } from "../config/datasets.ts";
import { runPaths } from "../runs/run-directory.ts";
import { readRunJson } from "../runs/run-json.ts";
import { listVersions, versionPaths } from "../workbench/versions.ts";
import { isBelow } from "./is-below.ts";
import { PageError } from "./page-error.ts";
import type { DashboardContext } from "./route.ts";

/** One of them. */
export interface RowSource {
  id: string;
  name: string;
  bytes: number;
  path: string;
  /** What its columns are called; null: by their usual names. */
  columns: ColumnMapping | null;
}

/** All that there are, versions first. Of runs: single files on this disk, below where the dashboard was started or what it shows. */
export function rowSources(context: DashboardContext): RowSource[] {
  const versions = listVersions(context.bench.dir).map(({ digest, rows, columns = null }): RowSource => {
    const path = versionPaths(context.bench.dir, digest).rows;
    return {
      id: digest,
      name: `version ${digest.slice(0, 12)}, ${rows} rows`,
      bytes: statsOf(path)?.size ?? 0,
      ...{ path, columns },
    };
  });
  const files = new Map<string, RowSource>();
  for (const { path, columns } of filesOfRuns(context)) {
    const id = sha256(columns === null ? path : JSON.stringify([path, columns])).slice(0, 16);
    const name = columns === null ? basename(path) : `${basename(path)}, ${columnWords(columns)}`;
    files.set(id, { id, name, bytes: statsOf(path)?.size ?? 0, path, columns });
  }
  const known = new Set(versions.map(({ path }) => resolve(path)));
  return [...versions, ...[...files.values()].filter(({ path }) => !known.has(path))];
}

/** The source of this id. @throws {PageError} where there is none */
export function rowSource(context: DashboardContext, id: string): RowSource {
  const found = rowSources(context).find((source) => source.id === id);
  if (found !== undefined) return found;
  throw new PageError(404, "There are no such rows any more. Choose others.");
}

function columnWords(columns: ColumnMapping): string {
  return Object.entries(columns)
    .map(([name, column]) => `${name}: ${column}`)
    .join(", ");
}

type RunFile = Pick<RowSource, "path" | "columns">;

function filesOfRuns({ runs }: DashboardContext): RunFile[] {
  const roots = [process.cwd(), ...runs.roots];
  return [...runs.dirs().values()].flatMap((dir) =>
    specsOf(dir).flatMap(({ path, columns }) => {
      if (statsOf(path)?.isFile() !== true) return [];
      const real = realpathSync(path);
      return roots.some((root) => isBelow(root, real)) ? [{ path: real, columns }] : [];
    }),
  );
}

/** A run whose run.json cannot be read has no data here; the list of runs says what is wrong with it. */
function specsOf(dir: string): RunFile[] {
  try {
    const { train_data, eval_data, columns } = readRunJson(runPaths(dir).runJson).config;
    return [...train_data, ...(eval_data ?? [])].map((spec) => {
      const named = spec.columns ?? columns ?? {};
      return { path: resolve(sourcePath(spec)), columns: Object.keys(named).length === 0 ? null : named };
    });
  } catch {
    return [];
  }
}
