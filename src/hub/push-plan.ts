/** What pushing files to a repository would change: nothing that preftune did not write there. */
import { createHash } from "node:crypto";
import fs from "node:fs";
import { isRecord } from "../base/is-record.ts";
import type { HubEntry } from "./hub.ts";

/** A file to push: a text, or the content of a file on disk. */
export interface PushFile {
  /** Inside the repository. */
  path: string;
  content: { text: string } | { file: string };
}

/** What a file is known by, in large-file storage and as git's blob. */
export interface FileDigest {
  /** Bytes. */
  size: number;
  sha256: string;
  /** Git's object id. */
  oid: string;
}

/** A file with its content at hand. */
export interface ReadFile extends FileDigest {
  path: string;
  blob: Blob;
}

/** What becomes of a file. */
export interface PushStep {
  path: string;
  /** Bytes; of a removed file those that are there. */
  size: number;
  /** same: it is there already. removed: an earlier push wrote it, and this one does not have it. */
  change: "new" | "changed" | "same" | "removed";
}

/** Changes, and the files that stand in their way. */
export interface PushPlan {
  steps: PushStep[];
  /** Files of the repository that preftune did not write, or that were changed since, where this push has others. */
  foreign: string[];
}

/** Name of the file that says what preftune wrote to a repository. */
export const manifestName = "preftune.json";

/** Reads a file's digests. */
export async function readPushFile({ path, content }: PushFile): Promise<ReadFile> {
  const blob = "text" in content ? new Blob([content.text]) : await fs.openAsBlob(content.file);
  const [sha256, sha1] = [createHash("sha256"), createHash("sha1").update(`blob ${blob.size}\0`)];
  for await (const chunk of blob.stream()) {
    sha256.update(chunk);
    sha1.update(chunk);
  }
  return { path, blob, size: blob.size, sha256: sha256.digest("hex"), oid: sha1.digest("hex") };
}

/** The manifest of these files, as text. */
export function manifestOf(files: readonly ReadFile[], madeBy: string): string {
  const digests = Object.fromEntries(
    files.map(({ path, size, sha256, oid }) => [path, { size, sha256, oid }]),
  );
  return `${JSON.stringify({ made_by: madeBy, files: digests }, null, 2)}\n`;
}

/** The digests in a manifest, by path; null where it is none. */
export function readManifest(text: string): Record<string, FileDigest> | null {
  try {
    const { files } = JSON.parse(text) as { files?: unknown };
    const isManifest =
      isRecord(files) &&
      Object.values(files).every((file) => isRecord(file) && typeof file["sha256"] === "string");
    return isManifest ? (files as unknown as Record<string, FileDigest>) : null;
  } catch {
    return null;
  }
}

/**
 * What pushing `files` changes.
 *
 * @param there - files of the repository
 * @param written - what an earlier push wrote, by path
 */
export function planPush(
  files: readonly ReadFile[],
  there: readonly HubEntry[],
  written: Readonly<Record<string, FileDigest>>,
): PushPlan {
  const entries = new Map(there.map((entry) => [entry.path, entry]));
  const plan: PushPlan = { steps: [], foreign: [] };
  const isOurs = (entry: HubEntry): boolean =>
    entry.path === manifestName || isSame(entry, written[entry.path]);
  for (const file of files) {
    const entry = entries.get(file.path);
    const change = entry === undefined ? "new" : isSame(entry, file) ? "same" : "changed";
    if (change === "changed" && entry !== undefined && !isOurs(entry)) plan.foreign.push(file.path);
    plan.steps.push({ path: file.path, size: file.size, change });
  }
  const wanted = new Set(files.map(({ path }) => path));
  for (const entry of there) {
    if (wanted.has(entry.path) || !isSame(entry, written[entry.path])) continue;
    plan.steps.push({ path: entry.path, size: entry.size, change: "removed" });
  }
  return plan;
}

/** Whether the hub's file has this content. */
function isSame(entry: HubEntry, digest: FileDigest | undefined): boolean {
  if (digest === undefined || entry.size !== digest.size) return false;
  return entry.lfs === undefined ? entry.oid === digest.oid : entry.lfs.oid === digest.sha256;
}
