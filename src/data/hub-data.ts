/** Data sets on the hub: which of their files are meant, fetched into Hugging Face's cache unless they are there. */
import { existsSync, readdirSync } from "node:fs";
import { basename, join, posix, sep } from "node:path";

import { DataError, FileError } from "../base/errors.ts";
import { statsOf } from "../base/open-file.ts";
import {
  type HubEntry,
  HubError,
  type HubOptions,
  type HubRepo,
  hubCommit,
  isCommit,
  isOffline,
  listHubFiles,
  offlineVariable,
} from "../hub/hub.ts";
import {
  cachedCommit,
  fetchIntoCache,
  isSilence,
  rememberCommit,
  repoFolder,
  snapshotFolder,
} from "../hub/hub-cache.ts";
import { rememberedList, rememberList } from "../hub/hub-lists.ts";
import { type DataFile, type FoundFiles, fileKind, isDataFile } from "./data-file.ts";
import { chooseFiles, type HubId, splitOf, splitsOf, variantsOf } from "./hub-splits.ts";

/** The data set that `text` names (`hub:owner/name/folder:split`, `owner/name:split`), or null when it names none. */
export function parseHubId(text: string): HubId | null {
  const match = /^(hub:)?([\w][\w.-]*\/[\w][\w.-]*)((?:\/[\w][\w.-]*)*)(?::([\w.-]+))?$/.exec(text);
  if (match === null) return null;
  const [, prefix, repo = "", folder = "", split] = match;
  // Without the prefix a path of more or other parts is taken for a mistyped file.
  if (prefix === undefined && (folder !== "" || fileKind(repo) !== null)) return null;
  return { repo, folder: folder.slice(1), split: split ?? null };
}

/** One commit of a data set: its files as the hub lists them, or as the cache has them. */
export interface HubData {
  id: HubId;
  commit: string;
  /** Those of the folder that `id` names. */
  entries: HubEntry[];
  /** Whether the hub listed them: all that there are. Else they are what others left in the cache, maybe a part. */
  isListed: boolean;
  options: HubOptions;
}

/**
 * What a data set holds. With `HF_HUB_OFFLINE` that is what the hub listed of this commit before, else what the cache has of it.
 *
 * @throws {FileError} when the hub cannot be reached or knows no such data set
 */
export async function openHubData(id: HubId, options: HubOptions): Promise<HubData> {
  const repo = repoOf(id);
  const folder = repoFolder(repo, options);
  const revision = options.revision ?? "main";
  const known = isCommit(revision) ? revision : cachedCommit(folder, revision);
  const cached = known === null ? [] : cachedEntries(snapshotFolder(folder, known), id.folder);
  const listed = isOffline() && known !== null ? rememberedList(folder, known, id.folder) : null;
  if (isOffline() && known !== null && (listed !== null || cached.length > 0))
    return { id, commit: known, entries: listed ?? cached, isListed: listed !== null, options };
  try {
    const commit = await hubCommit(repo, options);
    const entries = await listHubFiles(repo, { ...options, revision: commit }, id.folder);
    rememberList(folder, commit, id.folder, entries);
    await rememberCommit(folder, revision, commit);
    return { id, commit, entries, isListed: true, options };
  } catch (error) {
    if (!isSilence(error) || cached.length === 0 || isOffline()) throw error;
    throw new FileError(
      `${error.message} The cache has files of this data set: set HF_HUB_OFFLINE=1 to use them.`,
      { cause: error },
    );
  }
}

/** The files of a snapshot in the cache. */
function cachedEntries(snapshot: string, folder: string): HubEntry[] {
  const start = join(snapshot, folder);
  if (!existsSync(start)) return [];
  const names = readdirSync(start, { recursive: true, encoding: "utf8" });
  return names.flatMap((name) => {
    // A link may lead nowhere.
    const stats = statsOf(join(start, name));
    if (stats?.isFile() !== true) return [];
    return { path: posix.join(folder, name.split(sep).join("/")), size: stats.size, oid: "" };
  });
}

/**
 * The data files of `id`, fetched unless the cache has them: those of the split (default: `train` where there are
 * several), all of one format, Parquet before JSON before CSV. Files of the split in another format are passed over.
 *
 * @throws {FileError} when the hub cannot be reached, knows no such data set, or a download is incomplete
 * @throws {DataError} when there are no data files, or none of the split, or the cache has only some of its parts
 */
export async function fetchHubFiles(id: HubId, options: HubOptions): Promise<FoundFiles> {
  const data = await openHubData(id, options);
  const entries = data.entries.filter(({ path }) => isDataFile(path) && !isHidden(path, id.folder));
  if (entries.length === 0) {
    throw new DataError(
      `hub:${id.repo}: expected data files (Parquet, JSON or CSV), found none. Check the folder.`,
    );
  }
  if (!data.isListed) requireNamedSplit(id, entries);
  const chosen = chooseFiles(id, entries);
  const twice = checkParts(id, chosen);
  const files: DataFile[] = [];
  for (const entry of chosen) files.push(await fetchFile(data, entry));
  const named = splitsOf(id, entries);
  const splits = new Set(chosen.map((entry) => named.get(entry)));
  const passedOver = entries.filter((entry) => splits.has(named.get(entry)) && !chosen.includes(entry));
  return {
    files,
    passedOver: passedOver.map(({ path }) => `hub:${id.repo}/${path}`),
    together: [...variantsOf(chosen), ...twice].map((name) => `hub:${id.repo}/${name}`),
  };
}

/** Whether a file of `folder` is hidden, or lies in a hidden folder or one like `__MACOSX`: `datasets` reads none of these. */
function isHidden(path: string, folder: string): boolean {
  const parts = path.slice(folder.length).split("/");
  return (
    parts.some((part) => part.startsWith(".")) || parts.slice(0, -1).some((part) => part.startsWith("__"))
  );
}

/** A split that happens to be in the cache is not the one that was meant. */
function requireNamedSplit({ repo, folder, split }: HubId, entries: readonly HubEntry[]): void {
  const splits = new Set(entries.map(({ path }) => splitOf(path, folder)));
  if ((split ?? "train") !== "train" || splits.has("train")) return;
  throw new DataError(
    `hub:${repo}: expected the name of a split, since ${offlineVariable()} is set and the cache has no list of all files of this data ` +
      `set; it has ${[...splits].join(", ")}. Name one as hub:${repo}:SPLIT, or unset ${offlineVariable()} once to fetch the list.`,
  );
}

/**
 * `train-00001-of-00002.parquet` alone is half of the rows: the cache may hold only what was asked for before.
 *
 * @returns the files that have a number of which there is another: their set may have been written twice
 */
function checkParts(id: HubId, entries: readonly HubEntry[]): string[] {
  const twice: string[] = [];
  for (const [name, parts] of partsOf(entries)) {
    const [stem = "", count = "", rest = ""] = JSON.parse(name) as string[];
    for (let part = 0; part < Number(count); part++) {
      const paths = parts.get(part);
      if (paths === undefined) {
        throw new DataError(
          `hub:${id.repo}: expected all ${Number(count)} parts of ${basename(stem)}, but ` +
            `${stem}-${String(part).padStart(5, "0")}-of-${count}${rest} is not there. ` +
            `${isOffline() ? `Unset ${offlineVariable()} to fetch it.` : "Ask the data set's owner."}`,
        );
      }
      if (paths.length > 1) twice.push(...paths);
    }
  }
  return twice;
}

/**
 * Files in numbered parts: by stem, count and ending (in JSON), the paths of each number. Before its release 2.15 `datasets` ended
 * the name of each part in its fingerprint.
 */
function partsOf(entries: readonly HubEntry[]): Map<string, Map<number, string[]>> {
  const sets = new Map<string, Map<number, string[]>>();
  for (const { path } of entries) {
    const [, stem, part, ...ending] = /^(.*)-(\d{5})-of-(\d{5})(?:-[\da-f]{16}(?=\.))?(.*)$/.exec(path) ?? [];
    if (stem === undefined) continue;
    const name = JSON.stringify([stem, ...ending]);
    const parts = sets.get(name) ?? new Map<number, string[]>();
    sets.set(name, parts.set(Number(part), [...(parts.get(Number(part)) ?? []), path]));
  }
  return sets;
}

function repoOf(id: HubId): HubRepo {
  return { type: "dataset", name: id.repo };
}

async function fetchFile(data: HubData, entry: HubEntry): Promise<DataFile> {
  const name = `hub:${data.id.repo}/${entry.path}`;
  const kind = fileKind(entry.path);
  if (kind === null) throw new DataError(`${name}: not a data file.`);
  return { path: await cachedHubFile(data, entry), name, ...kind };
}

/** The commit of a data set that was read last; null: none was. Asks no one. */
export function cachedDataCommit(id: HubId): string | null {
  return cachedCommit(repoFolder(repoOf(id), {}), "main");
}

/** The folder of a commit in the cache. */
export function cachedDataFolder(id: HubId, commit: string): string {
  return snapshotFolder(repoFolder(repoOf(id), {}), commit);
}

/**
 * The path of a data set's file, fetched unless the cache has it.
 *
 * @throws {FileError} when the hub cannot be reached or a download is incomplete
 */
export async function cachedHubFile({ id, commit, options }: HubData, entry: HubEntry): Promise<string> {
  try {
    return await fetchIntoCache({ repo: repoOf(id), commit, entry, options });
  } catch (cause) {
    if (!isOffline() || !(cause instanceof HubError)) throw cause;
    throw new FileError(
      `hub:${id.repo}/${entry.path}: expected this file in the cache, since ${offlineVariable()} is set, but it is not there or not ` +
        `whole. Unset ${offlineVariable()} to fetch it.`,
      { cause },
    );
  }
}
