/**
 * Reads the header of a safetensors file, trusting nothing in it.
 *
 * The header's length is checked against the file before anything is allocated, its members are counted before it is
 * parsed, and the tensors must cover the data exactly: no overlap, no gap, nothing behind. Tensor data is not read.
 */
import { type BigIntStats, closeSync, fstatSync, statSync } from "node:fs";
import { FormatError, messageOf } from "../base/errors.ts";
import { fileFailure, formatBytes } from "../base/file-io.ts";
import { isRecord } from "../base/is-record.ts";
import { openFile, readInto, withFile } from "../base/open-file.ts";
import { didYouMean } from "../base/suggest.ts";
import { foreignFormat } from "./foreign-format.ts";
import { brief } from "./json-fields.ts";
import { JsonMeter, scanJson } from "./json-scan.ts";
import {
  dtypeBytes,
  isTensorDtype,
  maxDimensions,
  maxHeaderBytes,
  maxTensors,
  type TensorEntry,
  tensorBytes,
} from "./safetensors-layout.ts";

export type { TensorDtype, TensorEntry } from "./safetensors-layout.ts";

/** A checked safetensors file. Tensor bytes stand at `dataStart + entry.begin` up to `dataStart + entry.end`. */
export interface SafetensorsFile {
  path: string;
  fileBytes: number;
  dataStart: number;
  metadata: Record<string, string>;
  /** By name, in the order of their data. */
  tensors: Map<string, TensorEntry>;
  /** Which file the header was read from, and when that was last written; null for bytes that are no file's. */
  version: string | null;
}

const remedy = "Download or export the file again.";

/**
 * The header of a safetensors file, checked completely.
 *
 * @throws {FileError} when the file cannot be read
 * @throws {FormatError} for anything but a valid file: names file, tensor, what was expected and what came
 */
export function readSafetensorsHeader(path: string): SafetensorsFile {
  return withFile(path, (fd) => {
    const stats = fstatSync(fd, { bigint: true });
    const read: ReadBytes = (position, length) => readAt(fd, position, length);
    return { ...checkSafetensors(path, Number(stats.size), read), version: versionOf(stats) };
  });
}

function versionOf({ dev, ino, size, mtimeNs }: BigIntStats): string {
  return [dev, ino, size, mtimeNs].join(" ");
}

/**
 * Refuses a file that is no longer the one of the header: its tensors would be of two models. Called once they are read, or mapped.
 *
 * @throws {FormatError} if another file is there, it was written to, or none is there
 */
export function requireUnchanged({ path, version }: SafetensorsFile): void {
  if (version === null) return;
  const stats = statSync(path, { bigint: true, throwIfNoEntry: false });
  if (stats !== undefined && versionOf(stats) === version) return;
  throw new FormatError(
    `${path}: expected the file whose header was read, ${stats === undefined ? "it is gone" : "it was replaced or written to since"}, so ` +
      "what is loaded would be of two files. Wait until whatever writes it is done, and start again.",
  );
}

/** Gives `length` bytes of a file from `position` on. */
export type ReadBytes = (position: number, length: number) => Uint8Array;

/**
 * What `readSafetensorsHeader` gives, of bytes from wherever they are.
 *
 * @throws {FormatError} for anything but a valid file
 */
export function checkSafetensors(path: string, fileBytes: number, read: ReadBytes): SafetensorsFile {
  const headerBytes = headerLength(read, path, fileBytes);
  meterHeader(read, path, headerBytes);
  const text = decode(read(8, headerBytes), path);
  const dataStart = 8 + headerBytes;
  return { path, fileBytes, dataStart, version: null, ...parseHeader(text, path, fileBytes - dataStart) };
}

/**
 * The bytes of one tensor, copied into memory.
 *
 * @throws {FileError} when the file cannot be read or has become shorter
 * @throws {FormatError} when it is no longer the one of the header
 */
export function readTensorBytes(file: SafetensorsFile, entry: TensorEntry): Uint8Array {
  try {
    const fd = openFile(file.path);
    try {
      const bytes = readAt(fd, file.dataStart + entry.begin, entry.end - entry.begin);
      requireUnchanged(file);
      return bytes;
    } finally {
      closeSync(fd);
    }
  } catch (cause) {
    throw fileFailure({ action: `read tensor "${entry.name}" of`, path: file.path, cause });
  }
}

function readAt(fd: number, position: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  const done = readInto(fd, bytes, position);
  if (done < length) throw new Error(`the file ended after ${position + done} bytes`);
  return bytes;
}

/** Bytes of the header, checked against the file and the format's limit before anyone allocates them. */
function headerLength(read: ReadBytes, path: string, fileBytes: number): number {
  const head = read(0, Math.min(64, fileBytes));
  const refuse = (problem: string): never => {
    const foreign = foreignFormat(head);
    if (foreign === null) throw new FormatError(`${path}: not a safetensors file: ${problem}. ${remedy}`);
    throw new FormatError(`${path}: expected a safetensors file, got ${foreign.what}. ${foreign.remedy}`);
  };
  if (fileBytes < 10) return refuse(`expected at least 10 bytes, got ${fileBytes}`);
  const length = Number(new DataView(head.buffer, head.byteOffset).getBigUint64(0, true));
  const fits = length <= fileBytes - 8;
  if (length > maxHeaderBytes) {
    const got = Number.isSafeInteger(length) ? `${length}` : length.toPrecision(3);
    return refuse(`expected a header of at most ${maxHeaderBytes} bytes, its length field says ${got}`);
  }
  if (length < 2) return refuse(`expected a header of at least 2 bytes, its length field says ${length}`);
  if (head[8] !== 0x7b) return refuse(`expected the header to begin with "{", got byte ${head[8]}`);
  if (!fits) return refuse(`truncated: its header needs ${length + 8} bytes, the file has ${fileBytes}`);
  return length;
}

/** Counts members and depth in pieces of 64 KiB, so that a bomb is refused before it is in memory. */
function meterHeader(read: ReadBytes, path: string, headerBytes: number): void {
  const meter = new JsonMeter();
  const piece = 64 * 1024;
  for (let position = 0; position < headerBytes; position += piece) {
    meter.feed(read(8 + position, Math.min(piece, headerBytes - position)));
    if (meter.members > maxTensors + 1) {
      throw new FormatError(
        `${path}: expected at most ${maxTensors} tensors, the header has more. ${remedy}`,
      );
    }
    if (meter.deepest > 3) {
      throw new FormatError(`${path}: expected a header nested at most 3 deep, it goes deeper. ${remedy}`);
    }
  }
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function decode(bytes: Uint8Array, path: string): string {
  try {
    return utf8.decode(bytes);
  } catch (cause) {
    throw new FormatError(`${path}: expected a header in UTF-8, got other bytes. ${remedy}`, { cause });
  }
}

function parseHeader(
  text: string,
  path: string,
  dataBytes: number,
): Pick<SafetensorsFile, "metadata" | "tensors"> {
  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch (cause) {
    throw new FormatError(`${path}: expected a JSON header: ${messageOf(cause)}. ${remedy}`, { cause });
  }
  const twice = scanJson(text).repeatedKey;
  if (twice !== null) throw new FormatError(`${path}: the header has "${twice}" twice. ${remedy}`);
  if (!isRecord(header)) throw new FormatError(`${path}: expected a JSON object as header. ${remedy}`);
  let metadata: Record<string, string> = {};
  const entries: TensorEntry[] = [];
  for (const [name, value] of Object.entries(header)) {
    if (name === "__metadata__") metadata = parseMetadata(value, path);
    else entries.push(parseEntry(name, value, path));
  }
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
  requireFullCover(entries, path, dataBytes);
  return { metadata, tensors: new Map(entries.map((entry) => [entry.name, entry])) };
}

function parseMetadata(value: unknown, path: string): Record<string, string> {
  const metadata: Record<string, string> = {};
  const entries = isRecord(value) ? Object.entries(value) : [["", null] as const];
  for (const [key, text] of entries) {
    if (typeof text !== "string") {
      throw new FormatError(`${path}: expected __metadata__ to map names to strings. ${remedy}`);
    }
    metadata[key] = text;
  }
  return metadata;
}

function parseEntry(name: string, value: unknown, path: string): TensorEntry {
  const refuse = (problem: string): never => {
    throw new FormatError(`${path}: tensor "${name}": ${problem}. ${remedy}`);
  };
  if (!isRecord(value)) return refuse("expected an object with dtype, shape and data_offsets");
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== "string" || !isTensorDtype(dtype)) {
    const known = Object.keys(dtypeBytes);
    const hint = typeof dtype === "string" ? didYouMean(dtype, known) : "";
    throw new FormatError(
      `${path}: tensor "${name}": expected a dtype of ${known.join(", ")}, got ${JSON.stringify(dtype)}.${hint} ` +
        "Convert the file to float32, float16 or bfloat16.",
    );
  }
  if (!isSizes(shape) || shape.length > maxDimensions) {
    return refuse(`expected a shape of at most ${maxDimensions} sizes, got ${brief(shape)}`);
  }
  if (!isSizes(offsets) || offsets.length !== 2) {
    return refuse(`expected two data_offsets, got ${brief(offsets)}`);
  }
  const [begin = 0, end = 0] = offsets;
  const expected = tensorBytes(dtype, shape);
  if (expected === null) return refuse(`shape ${brief(shape)} of ${dtype} is too large to exist`);
  if (end - begin !== expected) {
    return refuse(
      `shape ${brief(shape)} of ${dtype} takes ${expected} bytes, data_offsets ${brief(offsets)} give ${end - begin}`,
    );
  }
  return { name, dtype, shape, begin, end };
}

function isSizes(value: unknown): value is number[] {
  // -0 is a number with a fraction to the library of the format, and refused
  const isSize = (size: unknown): boolean =>
    Number.isSafeInteger(size) && (size as number) >= 0 && !Object.is(size, -0);
  return Array.isArray(value) && value.every(isSize);
}

/** Tensors must lie end to end from 0 to the end of the file: hidden bytes make files that are two formats at once. */
function requireFullCover(entries: readonly TensorEntry[], path: string, dataBytes: number): void {
  let position = 0;
  for (const { name, begin, end } of entries) {
    if (begin !== position) {
      const fault = begin < position ? "overlaps the one before" : "leaves a gap before it";
      throw new FormatError(
        `${path}: tensor "${name}" ${fault}: expected its data at offset ${position}, got ${begin}. ${remedy}`,
      );
    }
    position = end;
  }
  if (position > dataBytes) {
    throw new FormatError(
      `${path}: truncated: its tensors need ${position} bytes of data, the file has ${dataBytes} ` +
        `(${formatBytes(position - dataBytes)} are missing). ${remedy}`,
    );
  }
  if (position < dataBytes) {
    throw new FormatError(
      `${path}: expected the file to end after ${position} bytes of tensor data, ` +
        `got ${dataBytes - position} bytes more. ${remedy}`,
    );
  }
}
