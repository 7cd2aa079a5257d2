/** What a run reads its rows from, as its fingerprints name it: digests of files on the disk, and commits of data sets of the hub. */
import { existsSync } from "node:fs";
import { resolve, sep } from "node:path";
import { sha256File } from "../base/files.ts";
import { type DatasetSpec, sourcePath } from "../config/datasets.ts";
import type { RunConfig } from "../config/run-config.ts";
import { cachedDataCommit, parseHubId } from "../data/hub-data.ts";
import { findFiles, isGlob } from "../data/sources.ts";

/** A source of rows, under the key of the configuration that names it, such as `train_data[0]`. */
export interface NamedSource {
  key: string;
  spec: DatasetSpec;
}

/** The sources of `train_data` or `eval_data`. */
export function namedSources(key: string, specs: readonly DatasetSpec[] | null): NamedSource[] {
  return (specs ?? []).map((spec, i) => ({ key: `${key}[${i}]`, spec }));
}

/** Whether a source is on the disk, and not a data set of the hub. */
export function isOnDisk(path: string): boolean {
  return existsSync(path) || isGlob(path);
}

/** The digest of each file on the disk that rows are read from, and the commit of each data set of the hub. */
export async function dataFilesOf(config: RunConfig): Promise<Record<string, string>> {
  const { train_data, eval_data, drift_data } = config;
  const named = [...namedSources("train_data", train_data), ...namedSources("eval_data", eval_data)];
  const digests: Record<string, string> = {};
  for (const { key, spec } of named) Object.assign(digests, await digestsOf(key, sourcePath(spec)));
  if (drift_data !== null) Object.assign(digests, await digestsOf("drift_data[0]", drift_data));
  return digests;
}

async function digestsOf(key: string, source: string): Promise<Record<string, string>> {
  if (isOnDisk(source)) {
    const paths = (await findFiles({ path: source })).files.map(({ path }) => path);
    const names = fileNames(key, paths);
    return Object.fromEntries(paths.map((path, i) => [names[i] ?? path, sha256File(path)]));
  }
  const hub = parseHubId(source);
  const commit = hub === null ? null : cachedDataCommit(hub);
  return hub === null || commit === null ? {} : { [`hub:${hub.repo}`]: commit };
}

/**
 * What fingerprints call the files of a source, the same on all hosts: `train_data[0]/rows.jsonl`, and where files of several folders
 * have one name, their paths below the folder that holds all of them.
 */
export function fileNames(key: string, paths: readonly string[]): string[] {
  const parts = paths.map((path) => resolve(path).split(sep));
  const isPlain = new Set(parts.map((path) => path.at(-1))).size === parts.length;
  const [first = []] = parts;
  const shared = first.findIndex((part, i) => parts.some((path) => path[i] !== part));
  return parts.map((path) => `${key}/${path.slice(isPlain ? -1 : shared).join("/")}`);
}
