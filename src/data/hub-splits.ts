/** Which split a file belongs to, of a hub data set or of a directory, by its path, as the `datasets` library reads names. */
import { posix } from "node:path";

import { DataError } from "../base/errors.ts";
import { didYouMean } from "../base/suggest.ts";
import type { HubEntry } from "../hub/hub.ts";
import { fileKind, formatOrder } from "./data-file.ts";

const { basename, dirname, join } = posix;

/** A data set's name, taken apart. */
export interface HubId {
  /** `owner/name`. */
  repo: string;
  /** Folder inside it, or the empty string. */
  folder: string;
  split: string | null;
}

/** The splits that words in the names of folders and files stand for. */
const keywords: Readonly<Record<string, string>> = {
  train: "train",
  training: "train",
  validation: "validation",
  valid: "validation",
  dev: "validation",
  val: "validation",
  test: "test",
  testing: "test",
  eval: "test",
  evaluation: "test",
};

/** A keyword as a whole word, with what makes it the name of another split: `train_sft`. */
const keywordPattern: RegExp = new RegExp(
  `(?<=^|[-._ 0-9/])(?:${Object.keys(keywords).join("|")})(?:_[A-Za-z]\\w*)?(?=$|[-._ 0-9/])`,
  "g",
);

/**
 * The files of one split and one format, in order: of the split that `id` names, else of `train` where there are several. Files that
 * `datasets` does not look at are taken where the others have no such split.
 *
 * @throws {DataError} when there is no such split, or several and none is named
 */
export function chooseFiles(id: HubId, entries: readonly HubEntry[]): HubEntry[] {
  const found = lookedAt(id.folder, entries);
  const chosen = filesOf({ ...id, split: id.split ?? "train" }, found) ?? filesOf(id, entries);
  if (chosen !== null) return chosen;
  const splits = new Set(splitsOf(id, entries).values());
  const name = id.split === null ? "" : ` "${id.split}"`;
  throw new DataError(
    `hub:${id.repo}: expected a split${name} of ${[...splits].join(", ")}.${didYouMean(id.split ?? "", splits)} ` +
      `Name one as hub:${id.repo}:SPLIT.`,
  );
}

/** Of what `datasets` finds: numbered parts in `data` alone; where there are none, only files in folders that say a split; else all. */
function lookedAt(folder: string, entries: readonly HubEntry[]): readonly HubEntry[] {
  const inside = (path: string): string => (folder === "" ? path : path.slice(folder.length + 1));
  const parts = entries.filter(({ path }) => /^data\/[^/]*-\d{5}-of-\d{5}[^/]*\./.test(inside(path)));
  if (parts.length > 0) return parts;
  const named = entries.filter(({ path }) => splitIn(dirname(inside(path))) !== null);
  return named.length > 0 ? named : entries;
}

/** Null where these are not of the split, or of several and none is named. */
function filesOf(id: HubId, entries: readonly HubEntry[]): HubEntry[] | null {
  const named = splitsOf(id, entries);
  const splits = new Set(named.values());
  const split = id.split ?? (splits.size > 1 && splits.has("train") ? "train" : null);
  // `owner/name:dev` means the files of dev.jsonl, which are those of the split validation.
  const meant = split === null || splits.has(split) ? split : (keywords[split] ?? split);
  const ofSplit = entries.filter((entry) => meant === null || named.get(entry) === meant);
  if (ofSplit.length === 0 || (meant === null && splits.size > 1)) return null;
  for (const format of formatOrder) {
    const chosen = ofSplit.filter(({ path }) => fileKind(path)?.format === format);
    if (chosen.length > 0) return chosen.sort((one, two) => (one.path < two.path ? -1 : 1));
  }
  return [];
}

/**
 * The split of each file. Where no name has a keyword all are of `train`, as in `datasets`; unless `id` names another, which is then
 * the name of one of the files.
 */
export function splitsOf({ folder, split }: HubId, entries: readonly HubEntry[]): Map<HubEntry, string> {
  const isOne =
    (split ?? "train") === "train" && entries.every(({ path }) => saidSplit(path, folder) === null);
  return new Map(entries.map((entry) => [entry, isOne ? "train" : splitOf(entry.path, folder)]));
}

/**
 * The split of a file: `train` of `train/data.jsonl`, of `pairs-train.jsonl` and of `data/train-00000-of-00002.parquet`. A
 * name without a keyword is a split's own up to its first `.` or `-`.
 */
export function splitOf(path: string, folder: string): string {
  return saidSplit(path, folder) ?? ownName(path);
}

function saidSplit(path: string, folder: string): string | null {
  const inside = folder === "" ? path : path.slice(folder.length + 1);
  return splitIn(dirname(inside)) ?? ofParts(path) ?? splitIn(basename(inside));
}

/**
 * The split that the name of a file on this machine says, or null. `train_a.jsonl` is of `train`, as in `datasets`: no hub id can name
 * the split `train_a`. Of numbered parts the whole name is the split's.
 */
export function localSplit(name: string): string | null {
  const split = splitIn(name);
  if (split === null) return null;
  const [word = ""] = split.split("_");
  return ofParts(name) ?? keywords[word] ?? split;
}

/** `NAME` of `NAME-00000-of-00002`. */
function ofParts(path: string): string | undefined {
  return /^([\w.]+)-\d{5}-of-\d{5}\b/.exec(basename(path))?.[1];
}

/** The split that the last keyword in `text` stands for. */
function splitIn(text: string): string | null {
  const word = text.match(keywordPattern)?.at(-1);
  return word === undefined ? null : (keywords[word] ?? word);
}

function ownName(path: string): string {
  return stemOf(path) ?? basename(dirname(path));
}

/** A name up to its first `.` or `-`; null for a number. */
function stemOf(path: string): string | null {
  const stem = basename(path).replace(/[.-].*$/, "");
  return /^\d+$/.test(stem) ? null : stem;
}

/**
 * What the files of one split differ in, where they do: their folders (one that only names the split left out) and what stands
 * before the keyword in a file's name, or its beginning where nothing says the split. They may be variants of the data set.
 */
export function variantsOf(entries: readonly HubEntry[]): string[] {
  const variants = new Map<string, string>();
  for (const { path } of entries) {
    const folder = dirname(path);
    const name = basename(path);
    const keyword = Math.max(0, name.search(keywordPattern));
    const before = saidSplit(path, "") === null ? (stemOf(path) ?? "") : name.slice(0, keyword);
    const parts = folder.split("/").filter((part) => splitIn(part) === null);
    variants.set(join(...parts, before), before === "" ? folder : `${join(folder, before)}*`);
  }
  return variants.size > 1 ? [...variants.values()] : [];
}
