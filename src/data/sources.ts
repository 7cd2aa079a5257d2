/** Where rows come from: a file, a directory, a glob or a hub data set, read row by row in a fixed order. */
import { existsSync, opendirSync } from "node:fs";
import { glob } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

import { DataError } from "../base/errors.ts";
import { isFolder, statsOf } from "../base/open-file.ts";
import { closest } from "../base/suggest.ts";
import { warn } from "../base/warn.ts";
import type { HubOptions } from "../hub/hub.ts";
import { readCsv } from "./csv-rows.ts";
import {
  type DataFile,
  type DataFormat,
  type FoundFiles,
  fileKind,
  formatOrder,
  isDataFile,
  isDescription,
  knownEndings,
} from "./data-file.ts";
import type { RawRow } from "./example.ts";
import { checkContent, otherEndingRemedy, savedDatasetRemedy } from "./file-content.ts";
import { describeFinding } from "./findings.ts";
import { fetchHubFiles, parseHubId } from "./hub-data.ts";
import { localSplit } from "./hub-splits.ts";
import { readJson, readJsonLines } from "./json-rows.ts";
import { readParquet } from "./parquet-rows.ts";
import { ReadMeter } from "./read-meter.ts";

/** One place that rows are read from. */
export interface DataSource {
  /**
   * A file, a directory (its data files, not those of folders inside; of several splits those of `train`), a glob, or a hub data
   * set: `owner/name`, `hub:owner/name`, `hub:owner/name/folder`, each with an optional `:split`.
   * Files on disk win over hub ids of the same name, and have no splits.
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
 * Called for each file beside the rows that is not read, with its name and the reason where that is not its ending; and for each
 * of several folders or files of a hub data set that may be variants and are read as one.
 */
export type PassedOver = (name: string, code: "file_passed_over" | "variants_together") => void;

/** Most entries of a directory. */
const maxEntries = 100_000;

/** Most files and folders that a glob may look at: Node keeps what it has seen. */
const maxLooked = 50_000;

/** Warns of what was passed over, at most some names. */
function warnPassedOver(path: string, names: readonly string[], code: Parameters<PassedOver>[1]): void {
  if (names.length === 0) return;
  const more = names.length > 10 ? `, and ${names.length - 10} more` : "";
  warn(`${path}: ${describeFinding(code)}: ${names.slice(0, 10).join(", ")}${more}.`);
}

/**
 * The rows of `source`, file after file in order of their names.
 *
 * @param onPassedOver - called with what is not read; without it a warning is given in the end
 * @throws DataError naming file and line when a file is missing, damaged, malformed, or not what its name says
 */
export async function* readRows(
  source: DataSource,
  onPassedOver: PassedOver | null = null,
): AsyncGenerator<RawRow> {
  const found = await findFiles(source);
  const meter = new ReadMeter();
  meter.expect(bytesOf(found));
  const names = { file_passed_over: [] as string[], variants_together: [] as string[] };
  try {
    yield* readFiles(found, meter, onPassedOver ?? ((name, code) => void names[code].push(name)));
  } finally {
    meter.finish();
    for (const code of ["file_passed_over", "variants_together"] as const)
      warnPassedOver(source.path, names[code], code);
  }
}

/**
 * The rows of files that were found.
 *
 * @param meter - counts what is read; the caller says what to expect
 * @throws DataError naming file and line when a file is damaged, malformed, or not what its name says
 */
export async function* readFiles(
  { files, passedOver, together = [] }: FoundFiles,
  meter: ReadMeter,
  onPassedOver: PassedOver = () => {},
): AsyncGenerator<RawRow> {
  for (const file of passedOver) onPassedOver(file, "file_passed_over");
  for (const folder of together) onPassedOver(folder, "variants_together");
  for (const file of files) {
    checkContent(file);
    let rows = 0;
    for await (const row of readers[file.format]({ ...file, meter })) {
      rows++;
      meter.rows++;
      // Also where many rows come of one piece of a file.
      if (meter.rows % 64 === 0) meter.add(0);
      yield row;
    }
    if (rows === 0) onPassedOver(`${file.name} (no rows)`, "file_passed_over");
  }
}

/** Bytes of the files on the disk. */
export function bytesOf({ files }: FoundFiles): number {
  return files.reduce((sum, { path }) => sum + (statsOf(path)?.size ?? 0), 0);
}

/**
 * The files of `source`, sorted by name; files of a hub data set are downloaded first.
 *
 * @throws DataError when there are none
 */
export async function findFiles(source: DataSource): Promise<FoundFiles> {
  const { path } = source;
  if (existsSync(path))
    return isFolder(path) ? directoryFiles(path) : { files: [localFile(path)], passedOver: [] };
  refuseLocalSplit(path);
  refuseSlice(path);
  if (isGlob(path)) return globFiles(path);
  const hubId = parseHubId(path);
  if (hubId !== null) return fetchHubFiles(hubId, source.hub ?? {});
  throw missing(path);
}

/** @throws DataError for a split of what is on the disk, where names of files say it */
function refuseLocalSplit(path: string): void {
  const [, place = "", split] = /^(.+):([^:/]*)$/.exec(path) ?? [];
  if (!existsSync(place)) return;
  const folder = [place, ...foldersIn(place)].find((folder) => hasNamed(folder, split ?? "")) ?? place;
  const files = isFolder(place) ? `Name its files (${join(folder, `${split}*`)})` : "Leave the split out";
  const onHub = parseHubId(`hub:${path}`) === null ? "" : `, or write hub:${path}`;
  throw new DataError(
    `${path}: a split is of data sets on the hub, and ${place} is on this machine. ${files}${onHub}.`,
  );
}

/** @throws DataError for a part of a split or several, as `datasets` names them: `train[:1000]`, `train+test` */
function refuseSlice(path: string): void {
  const [, place, split, more] =
    /^((?:hub:)?\w[\w.-]*(?:\/\w[\w.-]*)+):([\w.-]+)(\[[^\]]*:[^\]]*\].*|\+.+)$/.exec(path) ?? [];
  if (more === undefined) return;
  throw new DataError(
    `${path}: expected the name of one split, got "${split}${more}". Name the split alone (${place}:${split}): max_train_rows and ` +
      "max_eval_rows take its first rows, eval_fraction holds some out. Several splits are a list of sources, one each.",
  );
}

/** Whether `path`, which does not exist, names files by a pattern. */
export function isGlob(path: string): boolean {
  return /[*?[{]/.test(path);
}

function localFile(path: string): DataFile {
  const kind = fileKind(path);
  if (kind !== null) return { path, name: path, ...kind };
  throw new DataError(`${path}: expected a name that ends in ${knownEndings}. ${otherEndingRemedy(path)}`);
}

function directoryFiles(path: string): FoundFiles {
  const entries = entriesOf(path, maxEntries);
  if (entries === null) {
    throw new DataError(
      `${path}: expected a directory of at most ${maxEntries} entries, got one with more. Put the rows into fewer files.`,
    );
  }
  const names = entries.map(({ name }) => name);
  const saved = savedDatasetRemedy(path, names);
  if (saved !== null) {
    throw new DataError(
      `${path}: expected a directory of data files (${knownEndings}), got one that save_to_disk of datasets wrote. ${saved}`,
    );
  }
  const below = foldersIn(path).filter((folder) => hasNamed(folder, ""));
  const files = entries.filter(({ isFolder }) => !isFolder).map(({ name }) => join(path, name));
  const found = dataFiles(
    files,
    `${path}: expected data files (${knownEndings}) in this directory, found none.${meant(below)}`,
  );
  const chosen = oneFormat(oneSplit(path, found));
  return { ...chosen, passedOver: [...chosen.passedOver, ...below.map((folder) => `${folder}/`)] };
}

/**
 * Of a directory of several splits the files of `train`, as `datasets` reads it: who trains on all of them has nothing to test on.
 *
 * @throws DataError when there are files of several splits and none of `train`
 */
function oneSplit(folder: string, { files, passedOver }: FoundFiles): FoundFiles {
  const splitOf = ({ path }: DataFile): string | null => localSplit(basename(path));
  const splits = [...new Set(files.map(splitOf))];
  if (splits.length <= 1) return { files, passedOver };
  const chosen = files.filter((file) => splitOf(file) === "train");
  if (chosen.length === 0) {
    const some = splits.slice(0, 10).map(nameOf).join(", ");
    throw new DataError(
      `${folder}: expected a directory with files of one split, or with some of train, got ${some}. ` +
        `Name what is meant, such as ${files[0]?.path}, or ${join(folder, "*")} for all files.`,
    );
  }
  const rest = files.filter((file) => splitOf(file) !== "train");
  return {
    files: chosen,
    passedOver: [...passedOver, ...rest.map((file) => `${file.path} (${nameOf(splitOf(file))})`)],
  };
}

/** Of a directory of several formats the files of the commonest, as `datasets` reads it: the others often hold the same rows. */
function oneFormat({ files, passedOver }: FoundFiles): FoundFiles {
  const count = (format: DataFormat): number => files.filter((file) => file.format === format).length;
  const chosen = formatOrder.reduce((best, format) => (count(format) > count(best) ? format : best));
  const isRead = ({ format }: DataFile): boolean =>
    format === chosen || (format.startsWith("json") && chosen.startsWith("json"));
  const rest = files.filter((file) => !isRead(file));
  return {
    files: files.filter(isRead),
    passedOver: [...passedOver, ...rest.map(({ path, format }) => `${path} (format ${format})`)],
  };
}

function nameOf(split: string | null): string {
  return split === null ? "no split" : `split ${split}`;
}

async function globFiles(pattern: string): Promise<FoundFiles> {
  const found: string[] = [];
  const meter = new ReadMeter();
  const count = (): boolean => {
    meter.look();
    if (meter.looked <= maxLooked) return false;
    throw new DataError(
      `${pattern}: expected a glob that looks at no more than ${maxLooked} files and folders. ` +
        "Begin it with the folder that holds the data.",
    );
  };
  try {
    for await (const path of glob(pattern, { exclude: count })) if (!isFolder(path)) found.push(path);
  } finally {
    meter.finish();
  }
  return dataFiles(found, `${pattern}: expected data files (${knownEndings}) to match, found none.`);
}

function dataFiles(paths: string[], complaint: string): FoundFiles {
  // Plain code unit order: the same on every platform and locale.
  const sorted = paths.toSorted();
  const files = sorted.filter(isDataFile);
  const other = sorted.find((path) => fileKind(path) === null && !isDescription(path));
  const remedy = other === undefined ? "Check the path." : otherEndingRemedy(other);
  if (files.length === 0) throw new DataError(`${complaint} ${remedy}`);
  return {
    files: files.map(localFile),
    passedOver: sorted.filter((path) => !isDataFile(path) && !isDescription(path)),
  };
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
  const siblings = isFolder(folder) ? (entriesOf(folder, maxSuggested) ?? []) : [];
  const typo = closest(
    name,
    siblings.map((entry) => entry.name),
  );
  return typo === null ? [] : [join(folder, typo)];
}

function meant([first]: readonly string[]): string {
  return first === undefined ? "" : ` Did you mean "${first}"?`;
}

function hasNamed(folder: string, beginning: string): boolean {
  const entries = isFolder(folder) ? (entriesOf(folder, maxSuggested) ?? []) : [];
  return entries.some(({ name }) => name.startsWith(beginning) && isDataFile(name));
}

function foldersIn(folder: string): string[] {
  if (!isFolder(folder)) return [];
  const folders = (entriesOf(folder, maxSuggested) ?? []).filter((entry) => entry.isFolder);
  return folders.map(({ name }) => join(folder, name));
}

/** Most entries of a directory that is only looked at to say what else may have been meant. */
const maxSuggested = 10_000;

interface Entry {
  name: string;
  isFolder: boolean;
}

/** What lies in a directory, hidden things left out; null when there is more than `most`. No more than that is looked at. */
function entriesOf(path: string, most: number): Entry[] | null {
  using folder = opendirSync(path, { bufferSize: 1024 });
  const entries: Entry[] = [];
  for (let entry = folder.readSync(); entry !== null; entry = folder.readSync()) {
    if (entry.name.startsWith(".")) continue;
    if (entries.length === most) return null;
    // What a link leads to is asked for.
    const leads = entry.isDirectory() || (!entry.isFile() && isFolder(join(path, entry.name)));
    entries.push({ name: entry.name, isFolder: leads });
  }
  return entries;
}
