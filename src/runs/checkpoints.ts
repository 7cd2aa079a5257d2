/**
 * Checkpoints of a run: `checkpoints/checkpoint-<step>/`, each with a manifest `checkpoint.json` that lists its files
 * with sizes and SHA-256, and carries its own. A directory without a manifest is no checkpoint.
 */
import { existsSync, readdirSync, statSync } from "node:fs";
import { basename, isAbsolute, join, resolve } from "node:path";
import { ConfigError, FormatError, messageOf } from "../base/errors.ts";
import { fileFailure, fileWork, io, siblingName, syncDirectory, uniqueTag } from "../base/file-io.ts";
import {
  makeDirectory,
  recoverDirectory,
  sha256File,
  writeDirectoryAtomic,
  writeFileAtomic,
} from "../base/files.ts";
import { agreed, agreedAsync, alone, onFirst, type Together } from "../base/ranks.ts";
import { readSealed, sealed } from "../base/sealed.ts";
import { shellWord } from "../base/shell-word.ts";
import { readSafetensorsHeader } from "../formats/safetensors.ts";
import { isSliceFile } from "../formats/slices.ts";
import { type Retained, retain } from "./retention.ts";

const VERSION = 1;
const MANIFEST = "checkpoint.json";
const DIRECTORY = /^checkpoint-(\d+)$/;
const SET_ASIDE = /^\.(checkpoint-\d+)\.old-\d+-[0-9a-f]{8}$/;

/** One file of a checkpoint. */
export interface CheckpointFile {
  /** Path inside the checkpoint, with forward slashes. */
  name: string;
  bytes: number;
  /** SHA-256, 64 hexadecimal digits. */
  sha256: string;
}

/** What `checkpoint.json` holds. */
export interface CheckpointManifest {
  version: number;
  step: number;
  files: CheckpointFile[];
}

/** A checkpoint directory with a readable manifest. */
export interface Checkpoint {
  path: string;
  step: number;
  manifest: CheckpointManifest;
}

/** A checkpoint that cannot be used, and why. */
export interface BadCheckpoint {
  path: string;
  step: number;
  reason: string;
}

/** Path of the checkpoint of `step` under a run's `checkpoints` directory. */
export function checkpointPath(checkpointsDir: string, step: number): string {
  return join(checkpointsDir, `checkpoint-${step}`);
}

/** Which processes write a checkpoint. */
export interface CheckpointWriters {
  /** All of them; default: this one alone. */
  ranks?: Together;
  /** Names of the files that this rank writes, where it is not rank 0 alone that writes. */
  ownFiles?: readonly string[];
}

/**
 * Writes the checkpoint of `step`: all of it appears at once, or nothing.
 *
 * @param fill - writes the files into the directory it gets; of several ranks each calls it
 * @returns the checkpoint's path
 * @throws {FileError} when it cannot be written; earlier checkpoints are untouched
 * @throws {RankFailure} on every rank, if one of several cannot write
 */
export async function writeCheckpoint(
  checkpointsDir: string,
  step: number,
  fill: (dir: string) => void | Promise<void>,
  { ranks = alone, ownFiles = [] }: CheckpointWriters = {},
): Promise<string> {
  const target = checkpointPath(checkpointsDir, step);
  onFirst(ranks, () => makeDirectory(checkpointsDir));
  const write = async (dir: string): Promise<void> => {
    await agreedAsync(ranks, async () => await fill(dir));
    // each rank reads what it wrote, all at the same time
    const entries = agreed(ranks, () => ownFiles.map((name) => entryOf(dir, name))).flat();
    if (ranks.rank === 0) writeManifest(dir, step, entries);
  };
  // A resumed run comes by steps that already have a checkpoint, which may be the damaged one it went around.
  await writeDirectoryAtomic(target, write, { replace: true, ranks });
  return target;
}

function entryOf(dir: string, name: string): CheckpointFile {
  const path = join(dir, name);
  return { name, bytes: statSync(path).size, sha256: sha256File(path) };
}

/** @param known - the files whose digests are there already */
function writeManifest(dir: string, step: number, known: readonly CheckpointFile[]): void {
  const others = filesUnder(dir).filter((name) => !known.some((file) => file.name === name));
  const files = [...known, ...others.map((name) => entryOf(dir, name))];
  files.sort((a, b) => (a.name < b.name ? -1 : 1));
  const manifest: CheckpointManifest = { version: VERSION, step, files };
  writeFileAtomic(join(dir, MANIFEST), sealed(JSON.stringify(manifest, null, 2)));
}

function filesUnder(dir: string): string[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) =>
      join(entry.parentPath, entry.name)
        .slice(dir.length + 1)
        .replaceAll("\\", "/"),
    )
    .sort();
}

/** Whether a checkpoint was ever finished under `checkpointsDir`, be it damaged since. */
export function hasCheckpoints(checkpointsDir: string): boolean {
  return existsSync(checkpointsDir) && readdirSync(checkpointsDir).some((name) => DIRECTORY.test(name));
}

/** The checkpoints with a readable manifest, oldest first. Their files are not read; see {@link verifyCheckpoint}. */
export function listCheckpoints(checkpointsDir: string): Checkpoint[] {
  return scan(checkpointsDir).good;
}

function scan(checkpointsDir: string): { good: Checkpoint[]; bad: BadCheckpoint[] } {
  const good: Checkpoint[] = [];
  const bad: BadCheckpoint[] = [];
  if (!existsSync(checkpointsDir)) return { good, bad };
  for (const name of readdirSync(checkpointsDir)) {
    const step = Number(DIRECTORY.exec(name)?.[1]);
    if (Number.isNaN(step)) continue;
    const path = join(checkpointsDir, name);
    try {
      const manifest = readManifest(path);
      if (manifest.step === step) good.push({ path, step, manifest });
      else bad.push({ path, step, reason: `its manifest is of step ${manifest.step}` });
    } catch (cause) {
      const reason = existsSync(join(path, MANIFEST))
        ? messageOf(cause)
        : `it has no ${MANIFEST}: writing was interrupted`;
      bad.push({ path, step, reason });
    }
  }
  const byStep = (a: { step: number }, b: { step: number }): number => a.step - b.step;
  return { good: good.sort(byStep), bad: bad.sort(byStep) };
}

/**
 * The manifest of a checkpoint directory.
 *
 * @throws {FileError} when there is none
 * @throws {FormatError} when it is no manifest, has changed since it was written, or names files outside of the directory
 */
export function readManifest(dir: string): CheckpointManifest {
  const path = join(dir, MANIFEST);
  const value: Partial<CheckpointManifest> = readSealed(path);
  if (value.version !== VERSION) {
    const isNewer = typeof value.version === "number" && value.version > VERSION;
    const cure = isNewer
      ? " A newer version has written it: update preftune, or take an earlier checkpoint."
      : "";
    throw new FormatError(
      `${path}: expected a checkpoint manifest of version ${VERSION}, got version ${value.version}.${cure}`,
    );
  }
  const { step, files } = value;
  if (!Number.isSafeInteger(step) || !Array.isArray(files) || !files.every(isFileEntry)) {
    throw new FormatError(
      `${path}: expected step and files with name, bytes and sha256. The file is damaged.`,
    );
  }
  return { version: VERSION, step: step as number, files };
}

function isFileEntry(entry: CheckpointFile | null): boolean {
  if (typeof entry?.name !== "string" || !Number.isSafeInteger(entry.bytes)) return false;
  const inside = !isAbsolute(entry.name) && !/(^|[\\/])\.\.([\\/]|$)/.test(entry.name) && entry.name !== "";
  return inside && typeof entry.sha256 === "string" && /^[0-9a-f]{64}$/.test(entry.sha256);
}

/** What is wrong with the files of a checkpoint, a sentence each; empty: every byte is as it was written. */
export function verifyCheckpoint({ path: dir, step, manifest }: Checkpoint): string[] {
  return manifest.files.flatMap((file) => {
    const path = join(dir, file.name);
    const problem = problemOf(path, file);
    return problem === null ? [] : [otherStep(path, step) ?? problem];
  });
}

function problemOf(path: string, { name, bytes, sha256 }: CheckpointFile): string | null {
  if (!existsSync(path)) return `${name} is missing`;
  const { size } = statSync(path);
  if (size !== bytes) return `${name} has ${size} bytes, not ${bytes}`;
  try {
    return sha256File(path) === sha256 ? null : `${name} has changed since it was written (SHA-256)`;
  } catch (cause) {
    return messageOf(cause);
  }
}

/** That a rank's file is of another step, if that is what is wrong with it. */
function otherStep(path: string, step: number): string | null {
  const name = basename(path);
  if (!isSliceFile(name) || !existsSync(path)) return null;
  try {
    const { step: written } = readSafetensorsHeader(path).metadata;
    return written === undefined || written === String(step)
      ? null
      : `${name} is of step ${written}, not of step ${step}`;
  } catch {
    return null;
  }
}

/** What is wrong with the checkpoint directory `path`, in words: "missing", "damaged (...)"; null: every byte is good. */
export function faultOf(path: string): string | null {
  if (!existsSync(path)) return "missing";
  try {
    const manifest = readManifest(path);
    const problems = verifyCheckpoint({ path, step: manifest.step, manifest });
    return problems.length === 0 ? null : `damaged (${problems.join("; ")})`;
  } catch (cause) {
    return `damaged (${messageOf(cause)})`;
  }
}

/** The newest checkpoint whose every byte is good, and the newer ones that were passed over. */
export interface LatestCheckpoint {
  checkpoint: Checkpoint | null;
  rejected: BadCheckpoint[];
}

/**
 * The newest good checkpoint under `checkpointsDir`, falling back to earlier ones past each that is damaged.
 *
 * @param before - only steps below it count
 */
export function latestCheckpoint(
  checkpointsDir: string,
  before: number = Number.POSITIVE_INFINITY,
): LatestCheckpoint {
  const all = scan(checkpointsDir);
  const good = all.good.filter(({ step }) => step < before);
  const bad = all.bad.filter(({ step }) => step < before);
  const rejected: BadCheckpoint[] = [];
  for (const checkpoint of good.toReversed()) {
    const problems = verifyCheckpoint(checkpoint);
    if (problems.length === 0) {
      const newer = bad.filter(({ step }) => step > checkpoint.step);
      return { checkpoint, rejected: [...newer, ...rejected].sort((a, b) => b.step - a.step) };
    }
    rejected.push({ path: checkpoint.path, step: checkpoint.step, reason: problems.join("; ") });
  }
  return { checkpoint: null, rejected: [...bad, ...rejected].sort((a, b) => b.step - a.step) };
}

/**
 * The checkpoint that `resume_from_checkpoint` names: "latest" of the run, or a directory (also by its name alone). Null
 * when the latest is wanted and none was ever finished: the run begins again.
 *
 * @throws {ConfigError} when the named one is not there, or all are damaged
 * @throws {FormatError} when the named one is damaged; no other is taken in its place
 */
export function checkpointToResume(checkpointsDir: string, wanted: string): LatestCheckpoint {
  if (wanted !== "latest") return { checkpoint: namedCheckpoint(checkpointsDir, wanted), rejected: [] };
  const latest = latestCheckpoint(checkpointsDir);
  if (latest.checkpoint !== null || latest.rejected.length === 0) return latest;
  const why = latest.rejected.map(({ path, reason }) => ` ${path}: ${withoutStop(reason)}.`).join("");
  throw new ConfigError(
    `There is no checkpoint to resume from in ${checkpointsDir}, all are damaged.${why} ` +
      `To begin the run again, move them away (mv ${shellWord(checkpointsDir)} ${shellWord(`${checkpointsDir}-damaged`)}) and resume.`,
  );
}

function withoutStop(sentence: string): string {
  return sentence.replace(/\.$/, "");
}

/** Puts back checkpoints that a kill left set aside while they were replaced. No other process may be writing the run. */
export function recoverCheckpoints(checkpointsDir: string): void {
  if (!existsSync(checkpointsDir)) return;
  const names = readdirSync(checkpointsDir).map((name) => SET_ASIDE.exec(name)?.[1]);
  for (const name of names) if (name !== undefined) recoverDirectory(join(checkpointsDir, name));
}

/**
 * Takes the checkpoints above `step` out of the run, which goes another way from there: they are neither its latest nor counted when old
 * ones are removed. They stay on the disk under other names.
 *
 * @returns the new paths
 * @throws {FileError} when one cannot be renamed; the earlier ones stay as they are
 */
export function setAsideAbove(checkpointsDir: string, step: number): string[] {
  const later = scan(checkpointsDir).good.filter((checkpoint) => checkpoint.step > step);
  // the newest first: a kill in between leaves none whose earlier ones are gone
  const left = later.toReversed().map(({ path, step: of }) => {
    const aside = join(checkpointsDir, `left-${of}-${uniqueTag()}`);
    fileWork({ action: "put aside", path }, () => io.renameSync(path, aside));
    return aside;
  });
  if (left.length > 0)
    fileWork({ action: "sync", path: checkpointsDir }, () => syncDirectory(checkpointsDir));
  return left.reverse();
}

function namedCheckpoint(checkpointsDir: string, wanted: string): Checkpoint {
  const path = [wanted, join(checkpointsDir, wanted)].find((candidate) =>
    existsSync(join(candidate, MANIFEST)),
  );
  if (path === undefined) {
    throw new ConfigError(
      `resume_from_checkpoint: expected "latest" or a checkpoint directory (with ${MANIFEST}), got "${wanted}".`,
    );
  }
  const manifest = readManifest(path);
  const checkpoint = { path: resolve(path), step: manifest.step, manifest };
  const problems = verifyCheckpoint(checkpoint);
  if (problems.length === 0) return checkpoint;
  throw new FormatError(
    `${path} is damaged: ${problems.join("; ")}. Use resume_from_checkpoint: latest to take the newest good one.`,
  );
}

/**
 * Removes the checkpoints that retention does not keep.
 *
 * @param best - step of the best checkpoint, or null
 * @returns the removed ones
 */
export function pruneCheckpoints(
  checkpointsDir: string,
  save_total_limit: number | null,
  best: number | null,
): Checkpoint[] {
  if (save_total_limit === null) return [];
  const all = listCheckpoints(checkpointsDir);
  // Reading every byte of every checkpoint would cost too much: the newest good one is what must be known.
  let lastGood: number | null = null;
  for (const checkpoint of all.toReversed()) {
    if (verifyCheckpoint(checkpoint).length > 0) continue;
    lastGood = checkpoint.step;
    break;
  }
  const entries: Retained[] = all.map(({ step }) => ({ step, verified: step === lastGood }));
  const removed = new Set(retain(entries, { save_total_limit, best }).remove);
  const victims = all.filter(({ step }) => removed.has(step));
  for (const victim of victims) removeCheckpoint(victim);
  return victims;
}

function removeCheckpoint({ path }: Checkpoint): void {
  try {
    // Renamed first: an interrupted removal leaves no directory that looks like a checkpoint.
    const gone = siblingName(path, "gone", uniqueTag());
    io.renameSync(path, gone);
    io.rmSync(gone);
  } catch (cause) {
    throw fileFailure({ action: `remove ${basename(path)}`, path, cause });
  }
}
