/** Data files on disk: what format a name stands for, and their bytes, decompressed as they are read. */
import { closeSync, fstatSync, read } from "node:fs";
import { promisify } from "node:util";

import { DataError, FileError, messageOf } from "../base/errors.ts";
import { openFile } from "../base/open-file.ts";
import { CutShortError } from "./byte-reader.ts";
import { decompressGzip } from "./gzip-members.ts";
import type { ReadMeter } from "./read-meter.ts";
import { decompressZstd } from "./zstd-frames.ts";

/** Read at once. */
const pieceBytes = 64 * 1024;

/** Reads into a buffer: descriptor, buffer, offset, length, position. */
export const readAt: typeof read.__promisify__ = promisify(read);

/** Layout of the rows in a file. */
export type DataFormat = "jsonl" | "json" | "csv" | "tsv" | "parquet";

/** Compression around a file. */
export type Compression = "none" | "gzip" | "zstd";

/** A file with rows. */
export interface DataFile {
  /** Path to open. */
  path: string;
  /** Name for messages: the path as the user gave it, or the hub id and path. */
  name: string;
  format: DataFormat;
  compression: Compression;
  /** Counts what is read of the file. */
  meter?: ReadMeter;
}

/** What a place holds: files to read, and the names of those that are not read. */
export interface FoundFiles {
  files: DataFile[];
  passedOver: string[];
  /** Folders, or beginnings of names, of a hub data set's files that are read as one, where there are several. */
  together?: string[];
}

/** In the order in which `datasets` prefers one where there are as many files of another. */
export const formatOrder: readonly DataFormat[] = ["parquet", "jsonl", "json", "csv", "tsv"];

const formats: Readonly<Record<string, DataFormat>> = {
  jsonl: "jsonl",
  ndjson: "jsonl",
  json: "json",
  csv: "csv",
  tsv: "tsv",
  parquet: "parquet",
};
const compressions: Readonly<Record<string, Compression>> = {
  gz: "gzip",
  gzip: "gzip",
  zst: "zstd",
  zstd: "zstd",
};

/** The endings that `fileKind` knows, for messages. */
export const knownEndings = ".jsonl, .ndjson, .json, .csv, .tsv (each also with .gz or .zst) or .parquet";

/** Names of files that describe a data set, beside its rows. */
const descriptions = /(^|\/)(dataset_(infos?|dict)\.json|[^/]*\.md)$/i;

/** Descriptions too, unless the ending is one of rows: `license-qa.jsonl` has rows. */
const wordy = /(^|\/)(readme|licen[cs]e)[^/]*$/i;

/** What programs write about their state and settings. Named by itself it is read. */
const settings = /(^|\/)(state|config)\.json$/i;

/** True for a file that describes a data set. */
export function isDescription(path: string): boolean {
  return descriptions.test(path) || (fileKind(path) === null && wordy.test(path));
}

/** True for a file with rows, by its name. */
export function isDataFile(path: string): boolean {
  return fileKind(path) !== null && !isDescription(path) && !settings.test(path);
}

/** Format and compression that the name `path` stands for, or null when it is not a data file's name. */
export function fileKind(path: string): Pick<DataFile, "format" | "compression"> | null {
  const parts = path.toLowerCase().split(".");
  const last = parts.at(-1) ?? "";
  const compression = compressions[last] ?? "none";
  const format = formats[(compression === "none" ? last : parts.at(-2)) ?? ""];
  if (format === undefined || (format === "parquet" && compression !== "none")) return null;
  return { format, compression };
}

/**
 * The decompressed bytes of `file`, piece by piece, to its last one.
 *
 * @param where - gives the place reached so far (`file:line`), to begin messages with
 * @throws DataError when the compressed stream is damaged, ends early or is followed by other data; FileError when the
 *   file cannot be read
 */
export async function* readBytes(file: DataFile, where: () => string): AsyncGenerator<Buffer> {
  const stored = storedBytes(file);
  try {
    for await (const piece of decompressed(stored, file.compression)) {
      yield piece;
      // A few stored bytes can hold very many.
      file.meter?.add(0);
    }
  } catch (error) {
    throw readFailure(error, file, where());
  } finally {
    // Decompressors that fail, or are left early, leave their source open.
    await stored.return(undefined);
  }
}

/**
 * The bytes of `file` as they are stored: as many as it had when it was opened, so that reading ends.
 *
 * @throws DataError when it has grown or shrunk meanwhile; the system's error when it cannot be read
 */
async function* storedBytes(file: DataFile): AsyncGenerator<Buffer> {
  const fd = openFile(file.path);
  try {
    const { size } = fstatSync(fd);
    for (let done = 0, got = 1; done < size && got > 0; done += got) {
      const buffer = Buffer.allocUnsafeSlow(Math.min(pieceBytes, size - done));
      got = (await readAt(fd, buffer, 0, buffer.length, done)).bytesRead;
      yield buffer.subarray(0, got);
      file.meter?.add(got);
    }
    requireSameSize(file, size, fstatSync(fd).size);
  } finally {
    closeSync(fd);
  }
}

/** @throws DataError when a file of `size` bytes has `now` another size */
export function requireSameSize({ name }: DataFile, size: number, now: number): void {
  if (now === size) return;
  throw new DataError(
    `${name}: expected a file that stays as it is while it is read, but it had ${size} bytes at first and has ${now} now. ` +
      "Wait until it is written, or read a copy.",
  );
}

function decompressed(raw: AsyncIterable<Buffer>, compression: Compression): AsyncIterable<Buffer> {
  if (compression === "none") return raw;
  return compression === "gzip" ? decompressGzip(raw) : decompressZstd(raw);
}

function readFailure(error: unknown, file: DataFile, where: string): Error {
  if (error instanceof FileError || error instanceof DataError) return error;
  const isSystems = error instanceof Error && "syscall" in error;
  if (isSystems || file.compression === "none") return unreadable(file, error);
  const isCut = error instanceof CutShortError || (error as { code?: unknown }).code === "Z_BUF_ERROR";
  return new DataError(
    `${where}: expected a whole ${file.compression} file, but it is damaged or cut short ` +
      `(${isCut ? "it ends too early" : messageOf(error)}). Download or compress it again.`,
    { cause: error },
  );
}

/** What is wrong with a file that the system does not read. Not thrown here. */
export function unreadable({ path }: DataFile, cause: unknown): FileError {
  return new FileError(`Could not read ${path}: ${messageOf(cause)}. Check the path and its permissions.`, {
    cause,
  });
}
