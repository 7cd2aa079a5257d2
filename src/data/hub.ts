/** Data sets on the hub: which of their files are meant, and a download into a cache directory. */
import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdir, rename, rm, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, dirname, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { downloadFile, type ListFileEntry, listFiles } from "@huggingface/hub";

import { DataError, messageOf } from "../base/errors.ts";
import { didYouMean } from "../base/suggest.ts";
import { type DataFile, fileKind } from "./data-file.ts";

/** Where and how to fetch. */
export interface HubOptions {
  /** Branch, tag or commit; default `main`. */
  revision?: string;
  /** Default: `$HF_TOKEN` if set. */
  accessToken?: string;
  /** Default: `$HF_ENDPOINT` if set, else the public hub. */
  hubUrl?: string;
  /** Default: `preftune/hub` in `$XDG_CACHE_HOME` or `~/.cache`. */
  cacheDirectory?: string;
  /** Replaces the global `fetch`, for proxies and tests. */
  fetch?: typeof fetch;
}

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
 * @throws DataError when the hub cannot be reached, the data set or split does not exist, or a download is not whole
 */
export async function fetchHubFiles(id: HubId, options: HubOptions): Promise<DataFile[]> {
  const entries = await listDataFiles(id, options);
  const chosen = chooseFiles(id, entries);
  const files: DataFile[] = [];
  for (const entry of chosen) files.push(await fetchFile(id, entry, options));
  return files;
}

async function listDataFiles(id: HubId, options: HubOptions): Promise<ListFileEntry[]> {
  const entries: ListFileEntry[] = [];
  try {
    const path = id.folder === "" ? {} : { path: id.folder };
    for await (const entry of listFiles({ ...request(id, options), ...path, recursive: true })) {
      if (entry.type === "file" && isRows(entry.path)) entries.push(entry);
    }
  } catch (error) {
    throw hubFailure(id, error);
  }
  if (entries.length > 0) return entries;
  throw new DataError(
    `hub:${id.repo}: expected data files (Parquet, JSON or CSV), found none. Check the folder.`,
  );
}

/** Data sets often keep their description beside their rows, as JSON too. */
function isRows(path: string): boolean {
  return fileKind(path) !== null && !/^dataset_(infos?|dict)\.json$/.test(basename(path));
}

/** The files of one split and one format. Exported for tests. */
export function chooseFiles(id: HubId, entries: readonly ListFileEntry[]): ListFileEntry[] {
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

async function fetchFile(id: HubId, entry: ListFileEntry, options: HubOptions): Promise<DataFile> {
  const kind = fileKind(entry.path);
  if (kind === null) throw new DataError(`hub:${id.repo}/${entry.path}: not a data file.`);
  const name = `hub:${id.repo}/${entry.path}`;
  const version = entry.lfs?.oid ?? entry.oid ?? "unversioned";
  const folder = join(cacheDirectory(options), id.repo.replace("/", "--"), version);
  const path = join(folder, basename(entry.path));
  const isCached = version !== "unversioned" && (await sizeOf(path)) === entry.size;
  if (!isCached) await download({ id, entry, options, path, name });
  return { path, name, ...kind };
}

interface Download {
  id: HubId;
  entry: ListFileEntry;
  options: HubOptions;
  path: string;
  name: string;
}

async function download({ id, entry, options, path, name }: Download): Promise<void> {
  const partial = `${path}.${process.pid}.part`;
  const hash = createHash("sha256");
  let bytes = 0;
  try {
    const blob = await downloadFile({ ...request(id, options), path: entry.path });
    if (blob === null) throw new Error("the file is not there");
    await mkdir(dirname(path), { recursive: true });
    const count = async function* (source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
      for await (const chunk of source) {
        bytes += chunk.length;
        hash.update(chunk);
        yield chunk;
      }
    };
    await pipeline(Readable.fromWeb(blob.stream()), count, createWriteStream(partial));
    const isWhole = bytes === entry.size && (entry.lfs === undefined || hash.digest("hex") === entry.lfs.oid);
    if (!isWhole) throw new Error(`${name} came with ${bytes} of ${entry.size} bytes or another checksum`);
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { force: true });
    throw hubFailure(id, error);
  }
}

function request(id: HubId, options: HubOptions): Parameters<typeof listFiles>[0] {
  const accessToken = options.accessToken ?? process.env["HF_TOKEN"];
  const hubUrl = options.hubUrl ?? process.env["HF_ENDPOINT"];
  return {
    repo: { type: "dataset", name: id.repo },
    ...(options.revision === undefined ? {} : { revision: options.revision }),
    ...(options.fetch === undefined ? {} : { fetch: options.fetch }),
    ...(accessToken === undefined ? {} : { accessToken }),
    ...(hubUrl === undefined ? {} : { hubUrl }),
  };
}

function hubFailure(id: HubId, error: unknown): DataError {
  const cause = error instanceof Error && error.cause instanceof Error ? ` (${error.cause.message})` : "";
  const status =
    error instanceof Error && "statusCode" in error ? ` (status ${String(error.statusCode)})` : "";
  return new DataError(
    `hub:${id.repo}: expected to fetch this data set from the hub, but: ${messageOf(error)}${status}${cause}. ` +
      `Check the name, HF_TOKEN for a gated one, and the network; or download the files and give their path.`,
    { cause: error },
  );
}

function cacheDirectory(options: HubOptions): string {
  if (options.cacheDirectory !== undefined) return options.cacheDirectory;
  return join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "preftune", "hub");
}

async function sizeOf(path: string): Promise<number | null> {
  try {
    return (await stat(path)).size;
  } catch {
    return null;
  }
}
