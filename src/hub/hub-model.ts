/**
 * Models and adapters by name: a directory as it is, or a hub id whose files are fetched into Hugging Face's cache unless
 * they are there. Only what is read here is fetched: settings, tokenizer, templates and safetensors; never
 * pickles, never code.
 */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { FileError, FormatError } from "../base/errors.ts";
import { makeDirectory, readJsonFile, requireFreeBytes, writeFileAtomic } from "../base/files.ts";
import { isRecord } from "../base/is-record.ts";
import { isFolder } from "../base/open-file.ts";
import type { PhaseListener } from "../base/phase-listener.ts";
import { adapterWeightsName, isTunedModel } from "../formats/adapter.ts";
import { adapterPlace, scaledPlace } from "../formats/adapter-scale.ts";
import { noPlace, type PlaceKind, requirePlace } from "../formats/model-place.ts";
import { processorFiles } from "../formats/other-parts.ts";
import { indexFileName, indexLimits, singleFileName } from "../formats/weight-index.ts";
import {
  type HubEntry,
  HubError,
  type HubOptions,
  type HubRepo,
  hubCommit,
  hubName,
  isCommit,
  listHubFiles,
  sizeOfFile,
} from "./hub.ts";
import {
  cachedCommit,
  fetchIntoCache,
  isSilence,
  rememberCommit,
  repoFolder,
  snapshotFolder,
} from "./hub-cache.ts";

/** How to find a model. `revision` is used for names that bring none. */
export interface ModelSearch extends HubOptions {
  /** "text": settings, tokenizer and templates, enough to look at data. Default "all": weights as well. */
  parts?: ModelParts;
  /** What is looked for; default "model". */
  kind?: PlaceKind;
  /** Called with the progress of downloads, in bytes. */
  onPhase?: PhaseListener;
}

/** How much of a model is fetched. */
type ModelParts = "all" | "text";

/** A model that was found. */
export interface FoundModel {
  directory: string;
  /** What others can find it by: `owner/name` of a hub id, or the path as it was given. */
  name: string;
  /** The commit of a hub id; null of a directory. */
  commit: string | null;
  /** What gives exactly these files again: `hub:owner/name@commit`, or the path as it was given. */
  pinned: string;
}

/** A hub id, taken apart. */
interface ModelId {
  repo: string;
  revision: string | null;
}

/**
 * The directory of a model or adapter: what is given where it is one, else that of the hub id `owner/name` or
 * `hub:owner/name`, each with an optional `@revision`, fetched unless the cache has it. The scale of an adapter stays with it.
 *
 * A branch is looked up each time; when the hub cannot be reached, the copy fetched last, here or by another
 * program, serves.
 * @throws {FileError} when it is neither, holds something else, or cannot be fetched; what was fetched so far is used next time
 * @throws {FormatError} when the repository has no safetensors weights
 */
export async function resolveModel(given: string, search: ModelSearch = {}): Promise<FoundModel> {
  const { place, scale } = search.kind === "adapter" ? adapterPlace(given) : { place: given, scale: 1 };
  // a part of a tuned model is taken as a part of an adapter is
  const isTuned = scale !== 1 && isFolder(place) && isTunedModel(place);
  const found = await resolvePlace(place, isTuned ? { ...search, kind: "model" } : search);
  return { ...found, directory: scaledPlace(found.directory, scale) };
}

async function resolvePlace(nameOrPath: string, search: ModelSearch): Promise<FoundModel> {
  const { kind = "model" } = search;
  if (isFolder(nameOrPath)) {
    requirePlace(nameOrPath, kind);
    return { directory: nameOrPath, name: nameOrPath, commit: null, pinned: nameOrPath };
  }
  const id = existsSync(nameOrPath) ? null : parseModelId(nameOrPath);
  if (id === null) throw noPlace(nameOrPath, kind);
  try {
    return await fetchModel(id, search);
  } catch (error) {
    if (!(error instanceof HubError) || nameOrPath.startsWith("hub:")) throw error;
    throw new FileError(
      `There is no directory ${nameOrPath}, so it was taken for a hub id. ${error.message}`,
      {
        cause: error,
      },
    );
  }
}

/** The directory that `resolveModel` finds. */
export async function resolveModelDirectory(nameOrPath: string, search: ModelSearch = {}): Promise<string> {
  return (await resolveModel(nameOrPath, search)).directory;
}

/** The commit of a model's hub id whose files are here, pinned as in {@link FoundModel}; null for any other name. Asks no one. */
export function cachedModel(nameOrPath: string): string | null {
  const id = parseModelId(nameOrPath);
  if (id === null) return null;
  const repo: HubRepo = { type: "model", name: id.repo };
  const folder = repoFolder(repo, {});
  const revision = id.revision ?? "main";
  const commit = isCommit(revision) ? revision : cachedCommit(folder, revision);
  return commit !== null && isFolder(snapshotFolder(folder, commit)) ? `${hubName(repo)}@${commit}` : null;
}

/** Options that name models, as `score` and `merge` have them. */
interface NamedModels {
  model: string;
  adapter?: string | null;
  reference?: string | null;
  onPhase?: PhaseListener;
}

/**
 * `options` with the models in it fetched, so that everything later sees local directories.
 *
 * @throws {FileError} if one is neither there nor can be fetched
 */
export async function withLocalModels<T extends NamedModels>(options: T): Promise<T> {
  const search = options.onPhase === undefined ? {} : { onPhase: options.onPhase };
  const found: NamedModels = { model: await resolveModelDirectory(options.model, search) };
  if (options.adapter)
    found.adapter = await resolveModelDirectory(options.adapter, { ...search, kind: "adapter" });
  if (options.reference) found.reference = await resolveModelDirectory(options.reference, search);
  return { ...options, ...found };
}

function parseModelId(text: string): ModelId | null {
  const match = /^(?:hub:)?(\w[\w.-]*\/\w[\w.-]*)(?:@(\w[\w./-]*))?$/.exec(text);
  return match === null ? null : { repo: match[1] ?? "", revision: match[2] ?? null };
}

/** Files of one commit of a repository, in the cache. */
interface Snapshot {
  repo: HubRepo;
  commit: string;
  /** The repository's folder in the cache. */
  folder: string;
  /** The commit's folder in it. */
  directory: string;
  /** As given, with the commit as revision. */
  search: ModelSearch;
}

async function fetchModel(id: ModelId, search: ModelSearch): Promise<FoundModel> {
  const repo: HubRepo = { type: "model", name: id.repo };
  const folder = repoFolder(repo, search);
  const revision = id.revision ?? search.revision ?? "main";
  const commit = await commitOf(repo, { ...search, revision });
  const directory = snapshotFolder(folder, commit);
  const snapshot: Snapshot = { repo, commit, folder, directory, search: { ...search, revision: commit } };
  await completeSnapshot(snapshot);
  await rememberCommit(folder, revision, commit);
  return { directory, name: id.repo, commit, pinned: `${hubName(repo)}@${commit}` };
}

/** The commit of a revision, by the hub's word or, when the hub is silent, as it was when it was last fetched. */
async function commitOf(repo: HubRepo, search: ModelSearch & { revision: string }): Promise<string> {
  const { revision } = search;
  if (isCommit(revision)) return revision;
  try {
    return await hubCommit(repo, search);
  } catch (error) {
    const folder = repoFolder(repo, search);
    const known = isSilence(error) ? cachedCommit(folder, revision) : null;
    if (known === null || !isUsable(snapshotFolder(folder, known), partsOf(search))) throw error;
    search.onPhase?.(`${hubName(repo)}: no answer from the hub, its ${revision} as fetched before`, 1, 1);
    return known;
  }
}

/**
 * Fetches what is missing. Where the hub is silent, what another program fetched does if a model can be loaded of it; once the
 * hub has said what there is, all of it has to come.
 */
async function completeSnapshot(snapshot: Snapshot): Promise<void> {
  const { repo, directory, search } = snapshot;
  const parts = partsOf(search);
  if (await isComplete(snapshot, parts)) return;
  const listed = await listHubFiles(repo, search).catch((error: unknown) => {
    if (!isSilence(error) || !isUsable(directory, parts)) throw error;
    return null;
  });
  if (listed !== null) await fetchListed(snapshot, listed);
}

function partsOf(search: ModelSearch): ModelParts {
  return search.parts ?? "all";
}

/**
 * The file that marks a snapshot as complete. It holds the sizes of the snapshot's files by name. A snapshot that was complete
 * before the files of processors were fetched, whose marker had no number, is looked at again.
 */
function markerPath({ folder, commit }: Snapshot, parts: ModelParts): string {
  return join(folder, "preftune", `${commit}-${parts}-2.json`);
}

async function isComplete(snapshot: Snapshot, parts: ModelParts): Promise<boolean> {
  const markers = (["all", parts] as const).map((part) => markerPath(snapshot, part));
  const marker = markers.find((path) => existsSync(path));
  const sizes = marker === undefined ? null : readJsonFile(marker);
  if (!isRecord(sizes)) return false;
  for (const [name, size] of Object.entries(sizes)) {
    if ((await sizeOfFile(join(snapshot.directory, name))) !== size) return false;
  }
  return true;
}

/** Whether a model or adapter could be loaded from what is there: its settings and, if asked for, all its weights. */
function isUsable(directory: string, parts: ModelParts): boolean {
  const has = (name: string): boolean => existsSync(join(directory, name));
  if (!has("config.json") && !has("adapter_config.json")) return false;
  if (parts === "text" || has(singleFileName) || has(adapterWeightsName)) return true;
  const shards = has(indexFileName) ? shardsOf(join(directory, indexFileName)) : [];
  return shards.length > 0 && shards.every((name) => has(name));
}

async function fetchListed(snapshot: Snapshot, listed: readonly HubEntry[]): Promise<void> {
  const { repo, commit, directory, search } = snapshot;
  const parts = partsOf(search);
  const texts = listed.filter(({ path }) => isText(path));
  const weights = parts === "all" ? await weightsOf(snapshot, listed) : [];
  const entries = [...texts, ...weights];
  const missing: HubEntry[] = [];
  for (const entry of entries) {
    if ((await sizeOfFile(join(directory, entry.path))) !== entry.size) missing.push(entry);
  }
  const sizeOf = (files: readonly HubEntry[]) => files.reduce((sum, { size }) => sum + size, 0);
  requireFreeBytes(directory, sizeOf(missing), hubName(repo));
  const total = sizeOf(entries);
  let done = total - sizeOf(missing);
  const onBytes = (count: number): void => {
    done += count;
    search.onPhase?.(`${hubName(repo)}, bytes`, done, total);
  };
  for (const entry of missing) await fetchIntoCache({ repo, commit, entry, options: search, onBytes });
  const sizes = Object.fromEntries(entries.map(({ path, size }) => [path, size]));
  const marker = markerPath(snapshot, parts);
  makeDirectory(dirname(marker));
  writeFileAtomic(marker, `${JSON.stringify(sizes, null, 2)}\n`);
}

/** Settings, tokenizers, processors and templates, by the names they have at the top of a repository. */
function isText(path: string): boolean {
  if (processorFiles.has(path)) return true;
  const settings = /^(adapter_config|config|generation_config)\.json$/;
  const tokenizer =
    /^(added_tokens\.json|merges\.txt|special_tokens_map\.json|tokenizer(_config)?\.json|tokenizer\.model|vocab\.(json|txt))$/;
  const template = /^(chat_template\.(jinja|json)|additional_chat_templates\/\w[\w.-]*\.jinja)$/;
  return [settings, tokenizer, template].some((pattern) => pattern.test(path));
}

/** The weights that loading reads: one file, or the index and the shards it names; and an adapter's. */
async function weightsOf(snapshot: Snapshot, listed: readonly HubEntry[]): Promise<HubEntry[]> {
  const files = listed.filter(({ path }) => /^\w[\w.-]*\.safetensors$/.test(path));
  if (files.length === 0) throw noWeights(snapshot.repo, listed);
  const index = listed.find(({ path }) => path === indexFileName);
  const only = (names: ReadonlySet<unknown>) =>
    files.filter(({ path }) => names.has(path) || path === adapterWeightsName);
  if (files.some(({ path }) => path === singleFileName)) return only(new Set([singleFileName]));
  if (index === undefined) return files;
  const { repo, commit, search } = snapshot;
  const path = await fetchIntoCache({ repo, commit, entry: index, options: search });
  // Some repositories hold the same weights a second time, in one consolidated file.
  return [index, ...only(new Set(shardsOf(path)))];
}

/** The files that an index names. */
function shardsOf(indexPath: string): string[] {
  const content = readJsonFile(indexPath, indexLimits);
  const map = isRecord(content) && isRecord(content["weight_map"]) ? content["weight_map"] : {};
  return [...new Set(Object.values(map))].filter((name) => typeof name === "string");
}

function noWeights(repo: HubRepo, listed: readonly HubEntry[]): FormatError {
  const other = listed.find(({ path }) => /\.(bin|pt|pth|ckpt|pkl|gguf)$/.test(path))?.path;
  const found = other === undefined ? "there are none" : `got ${other}, which is never fetched`;
  return new FormatError(
    `${hubName(repo)}: expected safetensors weights at the top of the repository, ${found}. ` +
      "Take a repository with safetensors, or convert the model: load it in transformers and call save_pretrained.",
  );
}
