/**
 * Where each row of a version begins and what filters find in it, in a file that can be made again at any time: a page of rows is
 * read by itself, and a finding is counted without reading any.
 *
 *   index/NAME.idx   a line of JSON (what it is of, names of the findings), then the offsets (float64, one more than there are
 *                    rows) and of each row the findings (a bit each, uint32)
 */
import { createHash } from "node:crypto";
import { closeSync, existsSync, readSync } from "node:fs";
import { dirname } from "node:path";
import { setImmediate as othersFirst } from "node:timers/promises";
import { DataError } from "../base/errors.ts";
import { makeDirectory, writeFileAtomic } from "../base/files.ts";
import { isRecord } from "../base/is-record.ts";
import { openFile, readFileBytes, statsOf } from "../base/open-file.ts";
import { parseWritten } from "../text/json.ts";

/** Codes of what is found in a row. @param line - from 1 */
export type Classify = (value: Record<string, unknown>, line: number) => readonly string[];

/** What an index is of. */
interface Head {
  bytes: number;
  modified: number;
  digest: string;
  codes: string[];
  rows: number;
}

/** Bytes that are read at once while a file is indexed. */
const chunkBytes = 2 ** 18;
const lineFeed = 0x0a;

/** The rows of one file. */
export class RowIndex {
  readonly rows: number;
  /** SHA-256 of the file. */
  readonly digest: string;
  /** Bytes of the file that pages were read from. */
  bytesRead = 0;
  readonly #path: string;
  readonly #codes: readonly string[];
  readonly #offsets: Float64Array;
  readonly #found: Uint32Array;

  constructor(path: string, head: Head, offsets: Float64Array, found: Uint32Array) {
    this.#path = path;
    this.rows = head.rows;
    this.digest = head.digest;
    this.#codes = head.codes;
    this.#offsets = offsets;
    this.#found = found;
  }

  /** Rows of each finding, those of none left out. */
  counts(): { code: string; rows: number }[] {
    const counts = new Array<number>(this.#codes.length).fill(0);
    for (const bits of this.#found) {
      if (bits === 0) continue;
      for (let bit = 0; bit < counts.length; bit++)
        if ((bits & (1 << bit)) !== 0) counts[bit] = (counts[bit] ?? 0) + 1;
    }
    return this.#codes.map((code, bit) => ({ code, rows: counts[bit] ?? 0 }));
  }

  /** `count` rows from the `from`th, of those with the finding `code`; null: of all. Only their own bytes are read. */
  page(code: string | null, from: number, count: number): { line: number; value: unknown }[] {
    const lines =
      code === null ? range(from, Math.min(this.rows, from + count)) : this.#linesWith(code, from, count);
    if (lines.length === 0) return [];
    const fd = openFile(this.#path);
    try {
      return lines.map((i) => ({ line: i + 1, value: this.#valueAt(fd, i) }));
    } finally {
      closeSync(fd);
    }
  }

  #linesWith(code: string, from: number, count: number): number[] {
    const bit = this.#codes.indexOf(code);
    const lines: number[] = [];
    if (bit < 0) return lines;
    let seen = 0;
    for (let i = 0; i < this.rows && lines.length < count; i++) {
      if (((this.#found[i] ?? 0) & (1 << bit)) === 0) continue;
      if (seen++ >= from) lines.push(i);
    }
    return lines;
  }

  #valueAt(fd: number, i: number): unknown {
    const [begin, end] = [this.#offsets[i] ?? 0, this.#offsets[i + 1] ?? 0];
    const bytes = Buffer.alloc(end - begin);
    for (let at = 0; at < bytes.length; ) {
      const read = readSync(fd, bytes, at, bytes.length - at, begin + at);
      if (read === 0) break;
      at += read;
    }
    this.bytesRead += bytes.length;
    return parseWritten(bytes.toString("utf8"));
  }
}

function range(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, to - from) }, (_, i) => from + i);
}

/**
 * The index of the JSON lines at `path`, made where there is none at `at` that is of the file as it is. Other work goes on
 * meanwhile.
 *
 * @throws {DataError} where a line is no JSON object
 */
export async function openRowIndex(path: string, at: string, classify: Classify): Promise<RowIndex> {
  const stats = statsOf(path);
  const now = { bytes: stats?.size ?? 0, modified: stats?.mtimeMs ?? 0 };
  const kept = readIndex(path, at);
  const index =
    kept !== null && kept.head.bytes === now.bytes && kept.head.modified === now.modified
      ? kept
      : await makeIndex(path, at, { now, classify });
  return new RowIndex(path, index.head, index.offsets, index.found);
}

interface Parts {
  head: Head;
  offsets: Float64Array;
  found: Uint32Array;
}

function readIndex(path: string, at: string): Parts | null {
  if (!existsSync(at) || !existsSync(path)) return null;
  const bytes = readFileBytes(at);
  const end = bytes.indexOf(lineFeed);
  try {
    const head = JSON.parse(bytes.subarray(0, end).toString("utf8")) as Head;
    const numbers = Uint8Array.from(bytes.subarray(end + 1)).buffer;
    const split = (head.rows + 1) * Float64Array.BYTES_PER_ELEMENT;
    return {
      head,
      offsets: new Float64Array(numbers, 0, head.rows + 1),
      found: new Uint32Array(numbers, split, head.rows),
    };
  } catch {
    // of an earlier kind, or damaged: it is made again
    return null;
  }
}

/** The row that a version's line holds. @throws {DataError} naming `where` for what is no JSON object */
export function rowIn(text: string, where: string): Record<string, unknown> {
  try {
    const value = parseWritten(text);
    if (isRecord(value)) return value;
  } catch {
    // said below
  }
  throw new DataError(
    `${where}: expected a JSON object, got ${JSON.stringify(text.slice(0, 60))}: the file was changed or damaged. Put it back.`,
  );
}

async function makeIndex(
  path: string,
  at: string,
  { now, classify }: { now: { bytes: number; modified: number }; classify: Classify },
): Promise<Parts> {
  const offsets: number[] = [0];
  const found: number[] = [];
  const codes: string[] = [];
  const bitOf = (code: string): number => {
    const known = codes.indexOf(code);
    return 1 << (known < 0 ? codes.push(code) - 1 : known);
  };
  const hash = createHash("sha256");
  let rest = Buffer.alloc(0);
  const fd = openFile(path);
  try {
    for (;;) {
      const buffer = Buffer.alloc(chunkBytes);
      const read = readSync(fd, buffer);
      if (read === 0) break;
      const chunk = buffer.subarray(0, read);
      hash.update(chunk);
      const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      let begin = 0;
      for (let end = bytes.indexOf(lineFeed); end >= 0; end = bytes.indexOf(lineFeed, begin)) {
        const line = found.length + 1;
        const value = rowIn(bytes.toString("utf8", begin, end), `${path}:${line}`);
        found.push(classify(value, line).reduce((bits, code) => bits | bitOf(code), 0));
        offsets.push((offsets.at(-1) ?? 0) + end + 1 - begin);
        begin = end + 1;
      }
      rest = bytes.subarray(begin);
      await othersFirst();
    }
  } finally {
    closeSync(fd);
  }
  const head = { ...now, digest: hash.digest("hex"), codes, rows: found.length };
  const parts = { head, offsets: Float64Array.from(offsets), found: Uint32Array.from(found) };
  makeDirectory(dirname(at));
  writeFileAtomic(
    at,
    Buffer.concat([
      Buffer.from(`${JSON.stringify(head)}\n`, "utf8"),
      Buffer.from(parts.offsets.buffer),
      Buffer.from(parts.found.buffer),
    ]),
  );
  return parts;
}
