/** Finished runs of other studies' folders, by what they ran: what several studies have in common is trained once. */
import { existsSync, readdirSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { copyTree } from "../base/copy-files.ts";
import { ConfigError } from "../base/errors.ts";
import {
  makeDirectory,
  readJsonFile,
  readTextFile,
  remove,
  writeDirectoryAtomic,
  writeFileAtomic,
} from "../base/files.ts";
import { readFileBytes } from "../base/open-file.ts";
import { runPaths } from "../runs/run-directory.ts";

/** The mark of a finished run. */
export interface RunMark {
  /** Of the trial, with its name. */
  digest: string;
  /** Of what was run, whatever it is called: see content.ts. */
  content: string;
  /** Digests of what it read, by name; left out by earlier versions. */
  read?: Readonly<Record<string, string>>;
  /** The directory of another study that it was taken from. */
  takenFrom?: string;
}

/** Name of the mark in the run's directory. */
export const markName = "measured.json";

/** The mark in a run's directory; null where the run is not finished. */
export function readMark(dir: string): RunMark | null {
  const path = join(dir, markName);
  return existsSync(path) ? (readJsonFile(path) as RunMark) : null;
}

/** Directories of the finished runs in the folders `dirs`, by their content. */
export function finishedRuns(dirs: readonly string[]): Map<string, string> {
  const found = new Map<string, string>();
  for (const dir of dirs) {
    const runs = join(dir, "runs");
    if (!existsSync(runs)) {
      throw new ConfigError(`--reuse ${dir}: expected the folder of a study or sweep, found no runs/ there.`);
    }
    for (const name of readdirSync(runs).sort()) {
      const content = readMark(join(runs, name))?.content;
      if (typeof content === "string" && !found.has(content)) found.set(content, join(runs, name));
    }
  }
  return found;
}

/** Where a reused run is copied to. */
export interface RunDestination {
  dir: string;
  /** File for the held-out pairs under the model that the run begins with; kept when it is there and of the same files. */
  before: string;
  /** File that is written last, and the digest it says. */
  mark: string;
  digest: string;
}

/** Whether the pairs in the file `before` are of the files that `key` stands for; null: an earlier version wrote them, and nobody knows. */
export function isOfStart(before: string, key: string): boolean | null {
  if (!existsSync(before)) return false;
  const path = keyPath(before);
  return existsSync(path) ? readTextFile(path).trim() === key : null;
}

/** Writes the pairs under the model that runs begin with, and what they are of. */
export function writeStart(before: string, pairs: Uint8Array | string, key: string): void {
  makeDirectory(dirname(before));
  // never beside pairs of other files
  remove(keyPath(before));
  writeFileAtomic(before, pairs);
  writeFileAtomic(keyPath(before), `${key}\n`);
}

function keyPath(before: string): string {
  return `${before}.of`;
}

/**
 * Copies what a finished run of another folder logged and measured, so that it need not run again. Its weights and
 * checkpoints stay where they are; the mark says where.
 *
 * @param key - of the files that the model it began with was scored on: see {@link startKey}
 * @param read - what the run that takes it reads, by its own names for it: see {@link contentsOf}
 * @returns false if the other folder lacks the pairs under the model that the run began with
 */
export async function takeRun(
  from: string,
  { dir, before, mark, digest }: RunDestination,
  { key, read }: { key: string; read: Readonly<Record<string, string>> },
): Promise<boolean> {
  const start = join(from, "../../before", basename(before));
  const isHere = isOfStart(before, key) === true;
  if (!isHere && isOfStart(start, key) === false) return false;
  const paths = runPaths(from);
  const weights = [paths.checkpoints, paths.model, paths.adapter, paths.whole, paths.valueModel];
  const left = new Set(weights.map((path) => basename(path)));
  const { content } = readMark(from) as RunMark;
  if (!isHere) writeStart(before, readFileBytes(start), key);
  const fill = (part: string): void => {
    for (const name of readdirSync(from).filter((name) => !left.has(name))) {
      copyTree(join(from, name), join(part, name));
    }
    writeFileAtomic(join(part, basename(mark)), markText({ digest, content, read, takenFrom: from }));
  };
  await writeDirectoryAtomic(dir, fill, { replace: true });
  return true;
}

/** The text of a mark's file. */
export function markText(mark: RunMark): string {
  return `${JSON.stringify(mark)}\n`;
}
