/**
 * The cache that Hugging Face's libraries share: `blobs/` holds each file once, by its checksum, `snapshots/COMMIT/` has
 * a link for each file of a commit, and `refs/REVISION` says which commit a branch stood for when it was last asked.
 * What Python or `@huggingface/hub` fetched is used, and what is fetched here they find.
 */
import { existsSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { getRepoFolderName } from "@huggingface/hub";

import { FileError } from "../base/errors.ts";
import { errorCode, fileFailure, fileWork, ignoreErrors, io, makeDirectories } from "../base/file-io.ts";
import { makeDirectory, writeFileAtomic } from "../base/files.ts";
import { readFileBytes } from "../base/open-file.ts";
import {
  downloadHubFile,
  type HubEntry,
  HubError,
  type HubOptions,
  type HubRepo,
  hubCacheFolder,
  hubName,
  isCommit,
  sizeOfFile,
} from "./hub.ts";

/** The folder of a repository in the cache. */
export function repoFolder(repo: HubRepo, options: HubOptions): string {
  return join(options.cacheDirectory ?? hubCacheFolder(), getRepoFolderName(repo));
}

/** The folder with the files of one commit. */
export function snapshotFolder(folder: string, commit: string): string {
  return join(folder, "snapshots", commit);
}

/** The commit that `revision` stood for when it was last fetched, by this program or another; null: it never was. */
export function cachedCommit(folder: string, revision: string): string | null {
  const path = referencePath(folder, revision);
  const text = existsSync(path) ? readFileBytes(path).toString("utf8").trim() : null;
  return isCommit(text) ? text : null;
}

/** Notes which commit `revision` stands for. A commit stands for itself. */
export async function rememberCommit(folder: string, revision: string, commit: string): Promise<void> {
  if (isCommit(revision) || cachedCommit(folder, revision) === commit) return;
  const path = referencePath(folder, revision);
  makeDirectory(dirname(path));
  writeFileAtomic(path, commit);
}

/** Branches may have slashes, which are folders then. */
function referencePath(folder: string, revision: string): string {
  if (revision.split("/").every((part) => !["", ".", ".."].includes(part)))
    return join(folder, "refs", revision);
  throw new FileError(`expected a branch, tag or commit as the revision, got "${revision}". Check the name.`);
}

/** A file of a commit that is wanted. */
export interface CachedFileRequest {
  repo: HubRepo;
  commit: string;
  entry: HubEntry;
  options: HubOptions;
  /** Called with the bytes of each piece from the hub. */
  onBytes?: (count: number) => void;
}

/** Where a file of a commit stands in the cache, whether it is there or not. */
function cachedPath({ repo, commit, entry, options }: CachedFileRequest): string {
  const snapshot = snapshotFolder(repoFolder(repo, options), commit);
  const path = join(snapshot, entry.path);
  if (!relative(snapshot, path).startsWith("..")) return path;
  throw new FileError(
    `${hubName(repo)}: expected names of files inside the repository, got "${entry.path}".`,
  );
}

/**
 * The path of a file, fetched unless the cache has it whole.
 *
 * @throws {FileError} when the hub does not give it, it is incomplete, or it cannot be written
 */
export async function fetchIntoCache(request: CachedFileRequest): Promise<string> {
  const { repo, commit, entry, options, onBytes } = request;
  const path = cachedPath(request);
  if ((await sizeOfFile(path)) === entry.size) return path;
  const blob = join(repoFolder(repo, options), "blobs", blobName(entry, commit));
  if ((await sizeOfFile(blob)) === entry.size) onBytes?.(entry.size);
  else {
    const download = { repo, entry, options: { ...options, revision: commit }, path: blob };
    await downloadHubFile(onBytes === undefined ? download : { ...download, onBytes });
  }
  link(blob, path);
  return path;
}

/** What Hugging Face's libraries call the content of a file: its SHA-256 in large-file storage, else git's id of it. */
function blobName(entry: HubEntry, commit: string): string {
  const id = entry.lfs?.oid ?? entry.oid;
  return id !== undefined && /^\w+$/.test(id) ? id : `${commit}-${Buffer.from(entry.path).toString("hex")}`;
}

/** Makes `path` a link to `blob`; where the file system has no links, the file itself moves there. */
function link(blob: string, path: string): void {
  const fresh = `${path}.${process.pid}.part`;
  try {
    makeDirectories(dirname(path));
    io.rmSync(fresh);
    io.symlinkSync(relative(dirname(path), blob), fresh);
    io.renameSync(fresh, path);
  } catch (error) {
    ignoreErrors(() => io.rmSync(fresh));
    if (!["EPERM", "ENOTSUP", "ENOSYS"].includes(errorCode(error) ?? "")) {
      throw fileFailure({ action: "write", path, cause: error, bytes: 0 });
    }
    fileWork({ action: "write", path }, () => io.renameSync(blob, path));
  }
}

/** Whether a hub's failure is no answer, so that a copy in the cache may serve: no network, or a hub out of order. */
export function isSilence(error: unknown): error is HubError {
  if (!(error instanceof HubError)) return false;
  return error.status === null || error.status === 429 || error.status >= 500;
}
