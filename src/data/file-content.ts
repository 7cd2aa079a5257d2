/** What a file holds by its first bytes, and what to do where that is not what its name says. */
import { closeSync, readSync } from "node:fs";

import { DataError, FileError } from "../base/errors.ts";
import { openFile } from "../base/open-file.ts";
import { shellWord } from "../base/shell-word.ts";
import type { DataFile } from "./data-file.ts";

type Content =
  | "text"
  | "gzip"
  | "zstd"
  | "parquet"
  | "arrow stream"
  | "arrow file"
  | "zip"
  | "bzip2"
  | "xz"
  | "sqlite"
  | "utf16"
  | "html"
  | "lfs";

const words: Readonly<Record<Content, string>> = {
  text: "text",
  gzip: "a gzip file",
  zstd: "a zstd file",
  parquet: "a Parquet file",
  "arrow stream": "an Arrow stream",
  "arrow file": "an Arrow file",
  zip: "a zip archive (tables of office programs are such)",
  bzip2: "a bzip2 file",
  xz: "an xz file",
  sqlite: "an SQLite database",
  utf16: "text in UTF-16",
  html: "a web page",
  lfs: "a Git LFS pointer",
};

/** First bytes, in hexadecimal digits. */
const magicBytes: readonly (readonly [RegExp, Content])[] = [
  [/^1f8b/, "gzip"],
  [/^(28b52ffd|5.2a4d18)/, "zstd"],
  [/^50415231/, "parquet"],
  // Encrypted: the length behind is under 16 MiB. Text may begin with PARE too.
  [/^50415245.{6}00/, "parquet"],
  [/^4152524f5731/, "arrow file"],
  [/^ffffffff....0000/, "arrow stream"],
  [/^504b0304/, "zip"],
  [/^425a683[1-9]/, "bzip2"],
  [/^fd377a585a00/, "xz"],
  [/^53514c69746520666f726d6174203300/, "sqlite"],
  // A byte order mark, or a character of ASCII in two bytes.
  [/^(fffe|feff|(09|0a|0d|[2-7].)00|00(09|0a|0d|[2-7].))/, "utf16"],
];

/** First characters. */
const beginnings: readonly (readonly [RegExp, Content])[] = [
  [/^\s*<(!doctype html|html)/i, "html"],
  [/^version https:\/\/git-lfs/, "lfs"],
];

/**
 * Compares the beginning of `file` with its name.
 *
 * @throws DataError when it is something else, with the way out
 */
export function checkContent(file: DataFile): void {
  const content = contentOf(firstBytes(file.path));
  if (content === null) return;
  const { format, compression } = file;
  const promised: Content = compression !== "none" ? compression : format === "parquet" ? "parquet" : "text";
  if (content === promised) return;
  throw new DataError(
    `${file.name}: expected ${words[promised]}, as its name says, got ${words[content]}. ${remedy(file, content)}`,
  );
}

/** Null for an empty file. */
function contentOf(bytes: Buffer): Content | null {
  if (bytes.length === 0) return null;
  const [digits, text] = [bytes.toString("hex"), bytes.toString("latin1")];
  const found =
    magicBytes.find(([pattern]) => pattern.test(digits)) ??
    beginnings.find(([pattern]) => pattern.test(text));
  return found?.[1] ?? "text";
}

function firstBytes(path: string): Buffer {
  const bytes = Buffer.alloc(64);
  let fd: number | null = null;
  try {
    fd = openFile(path);
    return bytes.subarray(0, readSync(fd, bytes));
  } catch (error) {
    if (error instanceof FileError) throw error;
    // Whoever reads the file says what is wrong with it.
    return Buffer.alloc(0);
  } finally {
    if (fd !== null) closeSync(fd);
  }
}

function remedy({ path }: DataFile, content: Content): string {
  const bare = path.replace(/\.(gz|gzip|zst|zstd|parquet)$/i, "");
  const stem = bare.replace(/\.[^./]*$/, "");
  switch (content) {
    case "gzip":
      return renamed(path, `${bare}.gz`);
    case "zstd":
      return renamed(path, `${bare}.zst`);
    case "parquet":
      return renamed(path, `${stem}.parquet`);
    case "text":
      return /\.parquet$/i.test(path) ? textRemedy(path, bare) : renamed(path, bare);
    case "arrow stream":
    case "arrow file":
      return arrowRemedy(path, content);
    case "bzip2":
    case "xz":
      return `Decompress it: ${content} -dc ${shellWord(path)} > ${shellWord(`${stem}.new.jsonl`)}`;
    case "utf16":
      return `Save it as UTF-8: iconv -f UTF-16 -t UTF-8 ${shellWord(path)} > ${shellWord(path.replace(/(\.[^./]*)$/, ".utf8$1"))}`;
    case "html":
      return "Download the file itself; on the hub its address has /resolve/ where that of its page has /blob/.";
    case "lfs":
      return "Fetch the file itself: git lfs pull";
    case "zip":
      return "Unpack it, or save the table as CSV.";
    case "sqlite":
      return "Export its rows as CSV or JSON lines.";
  }
}

function textRemedy(path: string, bare: string): string {
  return firstBytes(path).toString("latin1").startsWith("{")
    ? renamed(path, `${bare}.jsonl`)
    : "Give it the ending of what it is: .jsonl, .json, .csv or .tsv.";
}

function renamed(from: string, to: string): string {
  return `Rename it: mv ${shellWord(from)} ${shellWord(to)}`;
}

/** A literal of Python within a shell's double quotes. */
function pythonText(text: string): string {
  return `'${text.replace(/['"\\$`]/g, "\\$&")}'`;
}

/** How an Arrow file becomes Parquet: what Dataset.save_to_disk writes is a stream, Feather's are files. */
function arrowRemedy(path: string, content: "arrow stream" | "arrow file"): string {
  const target = path.replace(/(\.[^./]*)?$/, ".parquet");
  const code =
    content === "arrow stream"
      ? `from datasets import Dataset; Dataset.from_file(${pythonText(path)}).to_parquet(${pythonText(target)})`
      : `import pandas; pandas.read_feather(${pythonText(path)}).to_parquet(${pythonText(target)})`;
  return `Convert it to Parquet: python -c "${code}"`;
}

/** Endings of files that hold rows which are not read here, and the way out. */
const otherEndings: readonly (readonly [RegExp, (path: string) => string])[] = [
  [/\.(arrow|feather)$/i, (path) => arrowRemedy(path, arrowKind(path))],
  [/\.parquet\.\w+$/i, () => "Parquet compresses itself: decompress the file."],
  [/\.bz2$/i, (path) => `Decompress it: bzip2 -dk ${shellWord(path)}`],
  [/\.xz$/i, (path) => `Decompress it: xz -dk ${shellWord(path)}`],
  [/\.(zip|tar|tgz|tar\.\w+|7z)$/i, () => "Unpack it, and give the directory or its files."],
  [/\.(xlsx?|ods)$/i, () => "Save the table as CSV in UTF-8."],
];

function arrowKind(path: string): "arrow stream" | "arrow file" {
  return contentOf(firstBytes(path)) === "arrow file" ? "arrow file" : "arrow stream";
}

/** What to do with a file of an ending that is not read. */
export function otherEndingRemedy(path: string): string {
  return otherEndings.find(([pattern]) => pattern.test(path))?.[1](path) ?? "Rename or convert the file.";
}

/**
 * What to do with a directory that `Dataset.save_to_disk` or `DatasetDict.save_to_disk` wrote; null for another one.
 *
 * @param names - of the directory's entries
 */
export function savedDatasetRemedy(path: string, names: readonly string[]): string | null {
  const target = `${path.replace(/\/+$/, "")}.parquet`;
  const convert = (choice: string): string =>
    `Convert it to Parquet: python -c "from datasets import load_from_disk; load_from_disk(${pythonText(path)})${choice}.to_parquet(${pythonText(target)})"`;
  if (names.includes("dataset_dict.json")) {
    const splits = names.filter((name) => !name.endsWith(".json"));
    return convert(`[${pythonText(splits.includes("train") ? "train" : (splits[0] ?? "train"))}]`);
  }
  if (!names.includes("state.json") || !names.some((name) => name.endsWith(".arrow"))) return null;
  return convert("");
}
