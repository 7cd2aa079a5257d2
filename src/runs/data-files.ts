/** What a run reads its rows from, as its fingerprints name it: digests of files on the disk, and commits of data sets of the hub. */
import { existsSync } from "node:fs";
import { basename } from "node:path";
import { sha256, sha256File } from "../base/files.ts";
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
    const { files } = await findFiles({ path: source });
    return dataDigests(
      key,
      files.map(({ path }) => ({ path, digest: sha256File(path) })),
    );
  }
  const hub = parseHubId(source);
  const commit = hub === null ? null : cachedDataCommit(hub);
  return hub === null || commit === null ? {} : { [`hub:${hub.repo}`]: commit };
}

/** Digests of a source's files by key and file name, which are the same on all hosts. Files of one name have one together. */
export function dataDigests(
  key: string,
  files: readonly { path: string; digest: string }[],
): Record<string, string> {
  const digests: Record<string, string> = {};
  for (const { path, digest } of files) {
    const name = `${key}/${basename(path)}`;
    const before = digests[name];
    digests[name] = before === undefined ? digest : sha256(`${before} ${digest}`);
  }
  return digests;
}
