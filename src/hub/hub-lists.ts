/** What the hub listed of a commit, kept beside the cache's files: which of them are missing can be known without asking again. */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";

import { ignoreErrors } from "../base/file-io.ts";
import { makeDirectory, readJsonFile, writeFileAtomic } from "../base/files.ts";
import { isRecord } from "../base/is-record.ts";
import type { JsonLimits } from "../base/json-limits.ts";
import type { HubEntry } from "./hub.ts";

/** A list of a million files has some 200 MB. */
const maxFiles = 1_000_000;
const listLimits: JsonLimits = {
  bytes: 256 * 2 ** 20,
  depth: 8,
  members: 16,
  elements: maxFiles,
  parts: 2 * maxFiles + 1,
};

/** Where the list of a folder inside a repository is, the repository's own folder in the cache being `repo`. */
function listPath(repo: string, commit: string, folder: string): string {
  return join(
    repo,
    "preftune",
    `${commit}-files${folder === "" ? "" : `-${encodeURIComponent(folder)}`}.json`,
  );
}

/** The files of `folder` in a commit as the hub listed them last; null where it was never asked for them here. */
export function rememberedList(repo: string, commit: string, folder: string): HubEntry[] | null {
  const parts = folder.split("/");
  const folders = [...parts.map((_, i) => parts.slice(0, parts.length - i).join("/")), ""];
  const path = folders.map((name) => listPath(repo, commit, name)).find((name) => existsSync(name));
  const list = path === undefined ? null : readJsonFile(path, listLimits);
  if (!Array.isArray(list) || !list.every(isEntry)) return null;
  return list.filter((entry) => folder === "" || entry.path.startsWith(`${folder}/`));
}

function isEntry(value: unknown): value is HubEntry {
  return isRecord(value) && typeof value["path"] === "string" && typeof value["size"] === "number";
}

/** Keeps a list. A cache that cannot be written stays without: its files can be used all the same. */
export function rememberList(repo: string, commit: string, folder: string, list: readonly HubEntry[]): void {
  const path = listPath(repo, commit, folder);
  const kept = list.map(({ path, size, oid, lfs }) => ({ path, size, oid, lfs: lfs && { oid: lfs.oid } }));
  ignoreErrors(() => {
    makeDirectory(dirname(path));
    writeFileAtomic(path, JSON.stringify(kept));
  });
}
