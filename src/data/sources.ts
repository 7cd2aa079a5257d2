/** Where rows come from: a file, a directory, a glob or a hub data set, read row by row in a fixed order. */
import fs, { existsSync, readdirSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";

import { DataError } from "../base/errors.ts";
import { closest } from "../base/suggest.ts";
import type { HubOptions } from "../formats/hub.ts";
import { readCsv } from "./csv-rows.ts";
import { type DataFile, type DataFormat, fileKind, knownEndings } from "./data-file.ts";
import type { RawRow } from "./example.ts";
import { fetchHubFiles, parseHubId } from "./hub.ts";
import { readJson, readJsonLines } from "./json-rows.ts";
import { readParquet } from "./parquet-rows.ts";

/** One place that rows are read from. */
export interface DataSource {
  /**
   * A file, a directory (its data files, not those of folders inside), a glob, or a hub data set:
   * `owner/name`, `hub:owner/name`, `hub:owner/name/folder`, each with an optional `:split`.
   * Files on disk win over hub ids of the same name.
   */
  path: string;
  hub?: HubOptions;
}

const readers: Readonly<Record<DataFormat, (file: DataFile) => AsyncGenerator<RawRow>>> = {
  jsonl: readJsonLines,
  json: readJson,
  csv: readCsv,
  tsv: readCsv,
  parquet: readParquet,
};

/**
 * The rows of `source`, file after file in order of their names.
 *
 * @throws DataError naming file and line when a file is missing, damaged or malformed
 */
export async function* readRows(source: DataSource): AsyncGenerator<RawRow> {
  for (const file of await resolveFiles(source)) yield* readers[file.format](file);
}

/**
 * The files of `source`, sorted by name; files of a hub data set are downloaded first.
 *
 * @throws DataError when there are none
 */
async function resolveFiles(source: DataSource): Promise<DataFile[]> {
  const { path } = source;
  if (existsSync(path)) return statSync(path).isDirectory() ? directoryFiles(path) : [localFile(path)];
  if (/[*?[{]/.test(path)) return globFiles(path);
  const hubId = parseHubId(path);
  if (hubId !== null) return fetchHubFiles(hubId, source.hub ?? {});
  throw missing(path);
}

function localFile(path: string): DataFile {
  const kind = fileKind(path);
  if (kind !== null) return { path, name: path, ...kind };
  throw new DataError(`${path}: expected a name that ends in ${knownEndings}. Rename or convert the file.`);
}

function directoryFiles(path: string): DataFile[] {
  const names = readdirSync(path, { withFileTypes: true })
    .filter((entry) => !entry.isDirectory() && !entry.name.startsWith("."))
    .map((entry) => join(path, entry.name));
  const below = foldersIn(path).filter((folder) => filesIn(folder).length > 0);
  return dataFiles(
    names,
    `${path}: expected data files (${knownEndings}) in this directory, found none.${meant(below)}`,
  );
}

function globFiles(pattern: string): DataFile[] {
  const found = fs.globSync(pattern).filter((path) => !statSync(path).isDirectory());
  return dataFiles(found, `${pattern}: expected data files (${knownEndings}) to match, found none.`);
}

function dataFiles(paths: string[], complaint: string): DataFile[] {
  // Plain code unit order: the same on every platform and locale.
  const files = paths.filter((path) => fileKind(path) !== null).sort();
  if (files.length === 0) throw new DataError(`${complaint} Check the path.`);
  return files.map(localFile);
}

function missing(path: string): DataError {
  return new DataError(
    `${path}: expected a data file, a directory, a glob or a hub id (owner/name), but nothing is there.${meant(near(path))} Check the path.`,
  );
}

/** Where a file of the same name lies one folder below or above, or one of a name like it. */
function near(path: string): string[] {
  const [folder, name] = [dirname(path), basename(path)];
  const places = [...foldersIn(folder), dirname(folder)].map((place) => join(place, name));
  const found = places.filter((place) => place !== path && existsSync(place));
  if (found.length > 0) return found;
  const siblings = isFolder(folder) ? readdirSync(folder) : [];
  const typo = closest(name, siblings);
  return typo === null ? [] : [join(folder, typo)];
}

function meant([first]: readonly string[]): string {
  return first === undefined ? "" : ` Did you mean "${first}"?`;
}

function filesIn(folder: string): string[] {
  return readdirSync(folder).filter((name) => !name.startsWith(".") && fileKind(name) !== null);
}

function foldersIn(folder: string): string[] {
  if (!isFolder(folder)) return [];
  const names = readdirSync(folder).filter((name) => !name.startsWith("."));
  return names.map((name) => join(folder, name)).filter(isFolder);
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}
