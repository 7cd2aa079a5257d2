/** Which split a file belongs to, of a hub data set or of a directory, by its path, as the `datasets` library reads names. */
import { posix } from "node:path";

import { DataError } from "../base/errors.ts";
import { didYouMean } from "../base/suggest.ts";
import type { HubEntry } from "../hub/hub.ts";
import { fileKind } from "./data-file.ts";

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
 * The files of one split and one format, in order: of the split that `id` names, else of `train` where there are several.
 *
 * @throws {DataError} when there is no such split, or several and none is named
 */
export function chooseFiles(id: HubId, entries: readonly HubEntry[]): HubEntry[] {
  const files = entries.map((entry) => ({ entry, split: splitOf(entry.path, id.folder) }));
  const splits = new Set(files.map(({ split }) => split));
  const split = id.split ?? (splits.size > 1 && splits.has("train") ? "train" : null);
  // `owner/name:dev` means the files of dev.jsonl, which are those of the split validation.
  const meant = split === null || splits.has(split) ? split : (keywords[split] ?? split);
  const ofSplit = files.filter((file) => meant === null || file.split === meant).map(({ entry }) => entry);
  if (ofSplit.length === 0 || (meant === null && splits.size > 1)) {
    const name = split === null ? "" : ` "${split}"`;
    throw new DataError(
      `hub:${id.repo}: expected a split${name} of ${[...splits].join(", ")}.${didYouMean(split ?? "", splits)} ` +
        `Name one as hub:${id.repo}:SPLIT.`,
    );
  }
  for (const format of ["parquet", "jsonl", "json", "csv", "tsv"] as const) {
    const chosen = ofSplit.filter(({ path }) => fileKind(path)?.format === format);
    if (chosen.length > 0) return chosen.sort((a, b) => (a.path < b.path ? -1 : 1));
  }
  return [];
}

/**
 * The split of a file: `train` of `train/data.jsonl`, of `pairs-train.jsonl` and of `data/train-00000-of-00002.parquet`. A
 * name without a keyword is a split's own up to its first `.` or `-`.
 */
export function splitOf(path: string, folder: string): string {
  const inside = folder === "" ? path : path.slice(folder.length + 1);
  return splitIn(dirname(inside)) ?? ofParts(path) ?? splitIn(basename(inside)) ?? ownName(path);
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
  const stem = basename(path).replace(/[.-].*$/, "");
  return /^\d+$/.test(stem) ? basename(dirname(path)) : stem;
}

/**
 * What the files of one split differ in, where they do: their folders (one that only names the split left out) and what stands
 * before the keyword in a file's name. They may be variants of the data set.
 */
export function variantsOf(entries: readonly HubEntry[]): string[] {
  const variants = new Map<string, string>();
  for (const { path } of entries) {
    const folder = dirname(path);
    const name = basename(path);
    const before = name.slice(0, Math.max(0, name.search(keywordPattern)));
    const parts = folder.split("/").filter((part) => splitIn(part) === null);
    variants.set(join(...parts, before), before === "" ? folder : `${join(folder, before)}*`);
  }
  return variants.size > 1 ? [...variants.values()] : [];
}
