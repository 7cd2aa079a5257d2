/**
 * Files of tokenised rows in the user's folder, by the fingerprint of all that decides their tokens. A file that is there is never
 * written to or replaced: others may have mapped it.
 */
import { existsSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { codeDigest, codeVersion } from "../base/code-version.ts";
import { FileError, FormatError } from "../base/errors.ts";
import {
  createFileSync,
  errorCode,
  fileFailure,
  ignoreErrors,
  io,
  siblingName,
  uniqueTag,
  writeAllSync,
} from "../base/file-io.ts";
import { makeDirectory, sha256, sha256File } from "../base/files.ts";
import { stringifyNumbers } from "../base/json-numbers.ts";
import { statsOf } from "../base/open-file.ts";
import { DATA_KEYS } from "../config/data-keys.ts";
import type { DatasetOptions } from "../data/dataset.ts";
import type { FoundSource } from "../data/mixing.ts";
import type { RowFile } from "../data/row-file.ts";
import { type ExpectedRows, readRowFile } from "../data/row-file-read.ts";
import { rowFileBytes } from "../data/row-file-write.ts";
import { rowFolder } from "../setup/places.ts";
import { ops, scope } from "../torch/index.ts";
import type { DataSelection } from "./prepare-data.ts";

const dayMs = 86_400_000;
/** A file that no run has begun with for so long is removed, in ms. */
const keptFor: number = 30 * dayMs;
const rowsName = /^[0-9a-f]{64}\.rows$/;
const underWay = /^\.[0-9a-f]{64}\.rows\.tmp-\d+-[0-9a-f]{8}$/;

/** Where rows of this fingerprint are, or are to be. */
export function rowsPath(fingerprint: string): string {
  return join(rowFolder(), `${fingerprint}.rows`);
}

/** SHA-256 of the files of rows. */
export function contentDigest({ sources, evalSources = [] }: FoundRows): string {
  const contents = [...sources, ...evalSources].map(({ found }) => [
    found.files.map(({ path, name }) => [name, sha256File(path)]),
    found.passedOver,
  ]);
  return sha256(stringifyNumbers(contents));
}

/** SHA-256 of all that decides what `options` give, tokens and findings: `content` of the files, keys, tokenizer, templates, code. */
export function rowsFingerprint(selection: DataSelection, options: FoundRows, content: string): string {
  const names = [
    ...Object.keys(DATA_KEYS),
    "seed",
    "task",
    "keepUncut",
    "isMeasured",
  ] as (keyof DataSelection)[];
  const { encoder, facts, context, labelWeights = null } = options;
  const parts = {
    keys: Object.fromEntries(names.map((name) => [name, selection[name] ?? null])),
    text: encoder.fingerprint(),
    model: { ...facts, stopIds: [...facts.stopIds], context },
    content,
    labelWeights,
    code: [codeVersion(), codeDigest(["base", "data", "formats", "hub", "text", "train"]), process.version],
  };
  return sha256(stringifyNumbers(parts));
}

/** Rows of files that were found. */
export interface FoundRows extends DatasetOptions {
  sources: readonly FoundSource[];
  evalSources?: readonly FoundSource[];
}

/**
 * The rows in a file, which is mapped: tokens are read from there when they are asked for.
 *
 * @throws {FormatError} when there is none, or it is not as it was written
 */
export function mapRows(expected: ExpectedRows): RowFile {
  const { path } = expected;
  const stats = statsOf(path);
  if (stats?.isFile() !== true || stats.size === 0) {
    throw new FormatError(`${path}: expected a file of tokenised rows, found none, or an empty one.`);
  }
  const all = ops.fromFile(path, false, stats.size, { dtype: "uint8" });
  return readRowFile({ size: stats.size, read: (from, into) => all.readBytes(into, from) }, expected);
}

/**
 * Whether there is such a file, whole; says that it was used. One that is damaged is removed.
 *
 * @param say - is given a line where it is removed
 */
export function hasRows(expected: ExpectedRows, say: (line: string) => void): boolean {
  // one map at a time: pages that this one reads would count twice
  using _ = scope();
  const { path } = expected;
  if (!existsSync(path)) return false;
  try {
    mapRows(expected);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    say(error.message);
    ignoreErrors(() => io.rmSync(path));
    return false;
  }
  // of a user who may only read it, its time stays
  ignoreErrors(() => io.utimesSync(path, new Date()));
  return true;
}

/**
 * Writes rows to `path`, all of them or nothing; removes files that were not used for long. A file that another process has put there
 * meanwhile stays.
 *
 * @throws {FileError} naming path, reason, and the variable that names another folder
 */
export function writeRows(path: string, fingerprint: string, file: RowFile): void {
  const temp = siblingName(path, "tmp", uniqueTag());
  try {
    makeDirectory(dirname(path));
    removeUnused(dirname(path));
    createFileSync(
      temp,
      (fd) => {
        for (const piece of rowFileBytes(fingerprint, file)) writeAllSync(fd, piece);
      },
      // what a power cut takes of it is noticed by its digest
      false,
    );
    putAt(path, temp);
  } catch (cause) {
    const failure = fileFailure({ action: "write", path, cause });
    throw new FileError(`${failure.message} PREFTUNE_ROW_CACHE names another folder for tokenised rows.`, {
      cause,
    });
  } finally {
    ignoreErrors(() => io.rmSync(temp));
  }
}

/** A link, and no rename: where another host has mapped a file, one that takes its place would end the processes there. */
function putAt(path: string, temp: string): void {
  try {
    io.linkSync(temp, path);
  } catch (error) {
    const code = errorCode(error) ?? "";
    if (code === "EEXIST") return;
    // a file system without links
    if (!["EPERM", "ENOTSUP", "ENOSYS", "EMLINK"].includes(code)) throw error;
    io.renameSync(temp, path);
  }
}

function removeUnused(folder: string): void {
  for (const name of readdirSync(folder)) {
    const most = rowsName.test(name) ? keptFor : underWay.test(name) ? dayMs : Number.POSITIVE_INFINITY;
    const path = join(folder, name);
    const age = Date.now() - (statsOf(path)?.mtimeMs ?? Number.POSITIVE_INFINITY);
    if (age > most) ignoreErrors(() => io.rmSync(path));
  }
}
