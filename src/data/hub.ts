/** Data sets on the hub: which of their files are meant, and a download into a cache directory. */
import { basename, dirname, join } from "node:path";

import { DataError } from "../base/errors.ts";
import { didYouMean } from "../base/suggest.ts";
import {
  downloadHubFile,
  type HubEntry,
  type HubOptions,
  type HubRepo,
  hubCacheDirectory,
  listHubFiles,
  sizeOfFile,
} from "../formats/hub.ts";
import { type DataFile, fileKind } from "./data-file.ts";

/** A data set's name, taken apart. */
export interface HubId {
  /** `owner/name`. */
  repo: string;
  /** Folder inside it, or the empty string. */
  folder: string;
  split: string | null;
}

/** The data set that `text` names (`hub:owner/name/folder:split`, `owner/name:split`), or null when it names none. */
export function parseHubId(text: string): HubId | null {
  const match = /^(hub:)?([\w][\w.-]*\/[\w][\w.-]*)((?:\/[\w][\w.-]*)*)(?::([\w.-]+))?$/.exec(text);
  if (match === null) return null;
  const [, prefix, repo = "", folder = "", split] = match;
  // Without the prefix a path of more or other parts is taken for a mistyped file.
  if (prefix === undefined && (folder !== "" || fileKind(repo) !== null)) return null;
  return { repo, folder: folder.slice(1), split: split ?? null };
}

/**
 * The data files of `id`, downloaded unless the cache has them: those of the split (default: `train` where there are
 * several), all of one format, Parquet before JSON before CSV.
 *
 * @throws {FileError} when the hub cannot be reached, knows no such data set, or a download is not whole
 * @throws {DataError} when there are no data files, or none of the split
 */
export async function fetchHubFiles(id: HubId, options: HubOptions): Promise<DataFile[]> {
  const listed = await listHubFiles(repoOf(id), options, id.folder);
  const entries = listed.filter(({ path }) => isRows(path));
  if (entries.length === 0) {
    throw new DataError(
      `hub:${id.repo}: expected data files (Parquet, JSON or CSV), found none. Check the folder.`,
    );
  }
  const files: DataFile[] = [];
  for (const entry of chooseFiles(id, entries)) files.push(await fetchFile(id, entry, options));
  return files;
}

function repoOf(id: HubId): HubRepo {
  return { type: "dataset", name: id.repo };
}

/** Data sets often keep their description beside their rows, as JSON too. */
function isRows(path: string): boolean {
  return fileKind(path) !== null && !/^dataset_(infos?|dict)\.json$/.test(basename(path));
}

/** The files of one split and one format. Exported for tests. */
export function chooseFiles(id: HubId, entries: readonly HubEntry[]): HubEntry[] {
  const splits = new Set(entries.map((entry) => splitOf(entry.path)));
  const split = id.split ?? (splits.size > 1 && splits.has("train") ? "train" : null);
  const ofSplit = split === null ? entries : entries.filter((entry) => splitOf(entry.path) === split);
  if (ofSplit.length === 0 || (split === null && splits.size > 1)) {
    const name = split === null ? "" : `"${split}"`;
    throw new DataError(
      `hub:${id.repo}: expected a split ${name} of ${[...splits].join(", ")}.${didYouMean(split ?? "", splits)} ` +
        `Name one as hub:${id.repo}:SPLIT.`,
    );
  }
  for (const format of ["parquet", "jsonl", "json", "csv", "tsv"] as const) {
    const files = ofSplit.filter((entry) => fileKind(entry.path)?.format === format);
    if (files.length > 0) return files.sort((a, b) => (a.path < b.path ? -1 : 1));
  }
  return [];
}

/** `train` of `data/train-00000-of-00002.parquet`, `train.jsonl.gz` and `train/0000.parquet`. */
function splitOf(path: string): string {
  const stem = basename(path).replace(/[.-].*$/, "");
  return /^\d+$/.test(stem) ? basename(dirname(path)) : stem;
}

async function fetchFile(id: HubId, entry: HubEntry, options: HubOptions): Promise<DataFile> {
  const kind = fileKind(entry.path);
  if (kind === null) throw new DataError(`hub:${id.repo}/${entry.path}: not a data file.`);
  return { path: await cachedHubFile(id, entry, options), name: `hub:${id.repo}/${entry.path}`, ...kind };
}

/**
 * The path of a data set's file, downloaded unless the cache has this version of it.
 *
 * @throws {FileError} when the hub cannot be reached or a download is not whole
 */
export async function cachedHubFile(id: HubId, entry: HubEntry, options: HubOptions): Promise<string> {
  const version = entry.lfs?.oid ?? entry.oid ?? "unversioned";
  const folder = join(hubCacheDirectory(options), id.repo.replace("/", "--"), version);
  const path = join(folder, basename(entry.path));
  const isCached = version !== "unversioned" && (await sizeOfFile(path)) === entry.size;
  if (!isCached) await downloadHubFile({ repo: repoOf(id), entry, options, path });
  return path;
}
