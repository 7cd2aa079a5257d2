/**
 * The hub, for models and data sets alike: what a repository holds, checked downloads, and where they are kept.
 *
 * A file is in its place only when it is complete: it is written under another name, compared with the size and checksum that
 * the hub lists, synced, and renamed.
 */
import { createHash, type Hash } from "node:crypto";
import { stat } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import type { ReadableStream } from "node:stream/web";
import { datasetInfo, downloadFile, listFiles, modelInfo } from "@huggingface/hub";

import { FileError, messageOf } from "../base/errors.ts";
import {
  errorCode,
  fileFailure,
  ignoreErrors,
  io,
  makeDirectories,
  syncDirectory,
  writeChunks,
} from "../base/file-io.ts";
import { warnOfReaders } from "../base/key-file.ts";
import { readFileBytes } from "../base/open-file.ts";

/** Where and how to fetch. */
export interface HubOptions {
  /** Branch, tag or commit; default `main`. */
  revision?: string;
  /** Default: `$HF_TOKEN`, else what `hf auth login` wrote to `token` in `$HF_HOME` or `~/.cache/huggingface`. */
  accessToken?: string;
  /** Default: `$HF_ENDPOINT` if set, else the public hub. */
  hubUrl?: string;
  /** Default: Hugging Face's own: `$HF_HUB_CACHE`, `hub` in `$HF_HOME`, `huggingface/hub` in `$XDG_CACHE_HOME` or `~/.cache`. */
  cacheDirectory?: string;
  /** Replaces the global `fetch`, for proxies and tests. */
  fetch?: typeof fetch;
}

/** A repository of the hub. */
export interface HubRepo {
  type: "dataset" | "model";
  /** `owner/name`. */
  name: string;
}

/** A file as the hub lists it. Said here and not taken from @huggingface/hub, whose types do not compile with strict libraries. */
export interface HubEntry {
  /** Inside the repository. */
  path: string;
  /** Bytes. */
  size: number;
  /** Git's object id, SHA-1 of the blob. */
  oid?: string;
  /** For large files: SHA-256 of the content. */
  lfs?: { oid: string };
}

/**
 * The files of `repo`, or of a folder of it, those in folders inside included.
 *
 * @throws {FileError} when the hub cannot be reached or does not give the list
 */
export async function listHubFiles(repo: HubRepo, options: HubOptions, folder = ""): Promise<HubEntry[]> {
  const entries: HubEntry[] = [];
  const path = folder === "" ? {} : { path: folder };
  try {
    for await (const entry of listFiles({ ...(await hubRequest(repo, options)), ...path, recursive: true })) {
      if (entry.type === "file") entries.push(entry);
    }
  } catch (error) {
    throw hubFailure(repo, error);
  }
  return entries;
}

/**
 * The commit that `options.revision` of a model or data set stands for, 40 hexadecimal digits.
 *
 * @throws {FileError} when the hub cannot be reached or knows no such repository or revision
 */
export async function hubCommit(repo: HubRepo, options: HubOptions): Promise<string> {
  const revision = options.revision ?? "main";
  try {
    const { repo: _, ...rest } = await hubRequest(repo, options);
    const asked = { ...rest, name: repo.name, revision };
    const { sha } =
      repo.type === "model"
        ? await modelInfo({ ...asked, additionalFields: ["sha"] })
        : await datasetInfo({ ...asked, additionalFields: ["sha"] });
    if (!isCommit(sha)) throw new Error(`the hub gave ${JSON.stringify(sha)} as the commit of ${revision}`);
    return sha;
  } catch (error) {
    throw hubFailure(repo, error);
  }
}

/** Whether a revision is a whole commit id, which always means the same files. */
export function isCommit(revision: unknown): revision is string {
  return typeof revision === "string" && /^[0-9a-f]{40}$/.test(revision);
}

/** One file to fetch. */
export interface HubDownload {
  repo: HubRepo;
  entry: HubEntry;
  options: HubOptions;
  /** Where the file is to stand. Its folder is made. */
  path: string;
  /** Called with the bytes of each piece. */
  onBytes?: (count: number) => void;
}

/**
 * Fetches a complete file, or leaves nothing: size and checksum must be those of the list.
 *
 * @throws {FileError} when the hub does not give it, it is incomplete, or it cannot be written
 */
export async function downloadHubFile({ repo, entry, options, path, onBytes }: HubDownload): Promise<void> {
  const partial = `${path}.${process.pid}.part`;
  const check = checksumOf(entry);
  let bytes = 0;
  try {
    const blob = await downloadFile({ ...(await hubRequest(repo, options)), path: entry.path });
    if (blob === null) throw new Error("the file is not there");
    makeDirectories(dirname(path));
    const counted = async function* (source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
      for await (const chunk of source) {
        bytes += chunk.length;
        check?.hash.update(chunk);
        onBytes?.(chunk.length);
        yield chunk;
      }
    };
    await writeChunks(partial, counted(blob.stream() as ReadableStream<Uint8Array>));
    const isWhole = bytes === entry.size && (check === null || check.hash.digest("hex") === check.digest);
    if (!isWhole) {
      const name = `${hubName(repo)}/${entry.path}`;
      throw new Error(`${name} came with ${bytes} of ${entry.size} bytes or another checksum`);
    }
    io.renameSync(partial, path);
    syncDirectory(dirname(path));
  } catch (error) {
    ignoreErrors(() => io.rmSync(partial));
    throw isDiskError(error)
      ? fileFailure({ action: "write", path, cause: error, bytes: entry.size })
      : hubFailure(repo, error);
  }
}

/** SHA-256 of files in large-file storage; the others' id is git's SHA-1 of a blob. Null where the hub gives neither. */
function checksumOf(entry: HubEntry): { hash: Hash; digest: string } | null {
  if (entry.lfs !== undefined) return { hash: createHash("sha256"), digest: entry.lfs.oid };
  if (!isCommit(entry.oid)) return null;
  return { hash: createHash("sha1").update(`blob ${entry.size}\0`), digest: entry.oid };
}

const diskErrors: ReadonlySet<string> = new Set([
  "ENOSPC",
  "EDQUOT",
  "EFBIG",
  "EROFS",
  "EACCES",
  "EPERM",
  "ENOTDIR",
  "EIO",
  "EMFILE",
  "ENFILE",
]);

/** Failures of this machine's disk, which no better network would fix. */
function isDiskError(error: unknown): boolean {
  const code = errorCode(error);
  return code !== null && diskErrors.has(code);
}

/** Bytes of the file at `path`, or null when there is none. */
export async function sizeOfFile(path: string): Promise<number | null> {
  try {
    return (await stat(path)).size;
  } catch {
    return null;
  }
}

/** `hub:owner/name`, as messages call it. */
export function hubName(repo: HubRepo): string {
  return `hub:${repo.name}`;
}

/** The hub refused, or could not be asked. */
export class HubError extends FileError {
  /** HTTP status of the hub's answer; null when none came. */
  readonly status: number | null;

  constructor(message: string, status: number | null, cause: unknown) {
    super(message, { cause });
    this.status = status;
  }
}

/** Whether `HF_HUB_OFFLINE` forbids asking the hub. */
export function isOffline(): boolean {
  return !["", "0", "false"].includes(process.env["HF_HUB_OFFLINE"] ?? "");
}

/** A token has some forty bytes. */
const maxTokenBytes = 64 * 1024;

/** The token that `hf auth login` keeps. */
function storedToken(): string | undefined {
  const cache = process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache");
  const home = process.env["HF_HOME"] ?? join(cache, "huggingface");
  const path = process.env["HF_TOKEN_PATH"] ?? join(home, "token");
  try {
    const text = readFileBytes(path, maxTokenBytes).toString("utf8").trim();
    if (text === "") return undefined;
    warnOfReaders(path);
    return text;
  } catch {
    return undefined;
  }
}

/** What every call of @huggingface/hub is given: the repository, its revision, and the user's token and hub. */
export interface HubRequest extends Pick<HubOptions, "revision" | "accessToken" | "hubUrl" | "fetch"> {
  repo: HubRepo;
}

/** @throws {Error} when HF_HUB_OFFLINE forbids asking */
export async function hubRequest(repo: HubRepo, options: HubOptions): Promise<HubRequest> {
  if (isOffline()) throw new Error(`HF_HUB_OFFLINE is ${process.env["HF_HUB_OFFLINE"]}`);
  const accessToken = options.accessToken ?? process.env["HF_TOKEN"] ?? storedToken();
  const hubUrl = options.hubUrl ?? process.env["HF_ENDPOINT"];
  return {
    repo,
    ...(options.revision === undefined ? {} : { revision: options.revision }),
    ...(options.fetch === undefined ? {} : { fetch: options.fetch }),
    ...(accessToken === undefined ? {} : { accessToken }),
    ...(hubUrl === undefined ? {} : { hubUrl }),
  };
}

function hubFailure(repo: HubRepo, error: unknown): HubError {
  const cause = error instanceof Error && error.cause instanceof Error ? ` (${error.cause.message})` : "";
  const status = error instanceof Error && "statusCode" in error ? Number(error.statusCode) : null;
  const what = repo.type === "model" ? "model" : "data set";
  return new HubError(
    `${hubName(repo)}: expected to fetch this ${what} from the hub, but: ${messageOf(error)}` +
      `${status === null ? "" : ` (status ${status})`}${cause}. ` +
      `Check the name, HF_TOKEN for a gated one, and the network; or download the files and give their path.`,
    status,
    error,
  );
}
