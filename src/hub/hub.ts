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
import { datasetInfo, downloadFile, HUB_URL, listFiles, modelInfo } from "@huggingface/hub";

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
  /** Default: `$HF_TOKEN` or `$HUGGING_FACE_HUB_TOKEN`, else what `hf auth login` wrote to `token` in `$HF_HOME` or `~/.cache/huggingface`. */
  accessToken?: string;
  /** Default: `$HF_ENDPOINT` if set, else the public hub. */
  hubUrl?: string;
  /** Default: Hugging Face's own: `$HF_HUB_CACHE`, `$HUGGINGFACE_HUB_CACHE`, `hub` in `$HF_HOME`, `huggingface/hub` in `$XDG_CACHE_HOME` or `~/.cache`. */
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

/** Whether `HF_HUB_OFFLINE`, or `TRANSFORMERS_OFFLINE` where that is not set, forbids asking the hub. */
export function isOffline(): boolean {
  // as in huggingface_hub: anything else is no
  return ["1", "ON", "YES", "TRUE"].includes((process.env[offlineVariable()] ?? "").toUpperCase());
}

/** The variable that decides whether the hub may be asked, for messages. */
export function offlineVariable(): string {
  return isSet("HF_HUB_OFFLINE") ? "HF_HUB_OFFLINE" : "TRANSFORMERS_OFFLINE";
}

function isSet(name: string): boolean {
  return (process.env[name] ?? "") !== "";
}

/** A token has some forty bytes. */
const maxTokenBytes = 64 * 1024;

/** The token to send, looked for where huggingface_hub does; undefined where there is none. */
export function accessTokenOf({ accessToken }: HubOptions): string | undefined {
  const name = isSet("HF_TOKEN") ? "HF_TOKEN" : "HUGGING_FACE_HUB_TOKEN";
  return accessToken ?? cleanToken(process.env[name] ?? "") ?? storedToken();
}

function cleanToken(text: string): string | undefined {
  const token = text.replace(/[\r\n]/g, "").trim();
  return token === "" ? undefined : token;
}

/** A path with a leading ~, $NAME and ${NAME} replaced, as Python does; what is not set stays as it is. */
function expanded(path: string): string {
  const named = path.replace(/^~(?=\/|$)/, homedir());
  return named.replace(
    /\$(?:(\w+)|\{([^{}]*)\})/g,
    (text, bare, braced) => process.env[bare ?? braced] ?? text,
  );
}

/** The folder of what Hugging Face's libraries keep. */
function hubHome(): string {
  const cache = process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache");
  return expanded(process.env["HF_HOME"] ?? join(cache, "huggingface"));
}

/** The folder of their cache of models and data sets, by the variables that huggingface_hub reads. */
export function hubCacheFolder(): string {
  const { HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE } = process.env;
  return expanded(HF_HUB_CACHE ?? HUGGINGFACE_HUB_CACHE ?? join(hubHome(), "hub"));
}

/** The token that `hf auth login` keeps. */
function storedToken(): string | undefined {
  const path = expanded(process.env["HF_TOKEN_PATH"] ?? join(hubHome(), "token"));
  try {
    const token = cleanToken(readFileBytes(path, maxTokenBytes).toString("utf8"));
    if (token !== undefined) warnOfReaders(path);
    return token;
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
  const offline = offlineVariable();
  if (isOffline()) throw new Error(`${offline} is ${process.env[offline]}`);
  const { revision, fetch: ask } = options;
  const hubUrl = (options.hubUrl ?? process.env["HF_ENDPOINT"] ?? "").replace(/\/+$/, "") || HUB_URL;
  const request = { repo, hubUrl, ...(revision === undefined ? {} : { revision }) };
  const token = accessTokenOf(options);
  // @huggingface/hub refuses the tokens of other hubs
  if (token !== undefined && !token.startsWith("hf_"))
    return { ...request, fetch: fetchWithToken(token, hubUrl, ask) };
  return {
    ...request,
    ...(ask === undefined ? {} : { fetch: ask }),
    ...(token === undefined ? {} : { accessToken: token }),
  };
}

/** `fetch` that sends the token to the hub, and to nobody whom the hub sends it on to. */
function fetchWithToken(token: string, hubUrl: string, ask: typeof fetch = fetch): typeof fetch {
  const { origin } = new URL(hubUrl);
  return (input, init) => {
    const { url, headers: own } = input instanceof Request ? input : { url: input };
    const headers = new Headers(init?.headers ?? own);
    if (new URL(url).origin === origin) headers.set("authorization", `Bearer ${token}`);
    return ask(input, { ...init, headers });
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
