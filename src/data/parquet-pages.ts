/**
 * The pages of a column chunk of Parquet, checked before they are decoded: sizes, numbers of values, levels, indices and
 * lengths are what the headers and the footer say, so that decoding can neither run on nor take memory that was only claimed.
 */
import { type ByteSpan, deltaHeader, deltaNumbers, PageError, scanRuns } from "./parquet-runs.ts";
import { readStruct, type ThriftStruct } from "./parquet-thrift.ts";

/** A column of single values as the schema has it. */
export interface Leaf {
  /** Names from the outermost column on. */
  path: readonly string[];
  type: string;
  /** Bytes of a value of fixed length. */
  typeLength: number;
  maxDefinition: number;
  maxRepetition: number;
}

/** A column's part of a row group, and what the footer says of it. */
export interface Chunk {
  bytes: Uint8Array;
  values: number;
  rows: number;
}

/** Gives the content of a compressed page. */
export type Decompress = (input: Uint8Array, outputLength: number) => Uint8Array;

/** Most values that a page header may have, all depths together. */
const maxHeaderValues = 200;

/** Decompressed bytes that a chunk may always have, and how many times its own bytes besides. */
const freeBytes = 16 * 1024 * 1024;
const maxExpansion = 100;

/** Bytes that a value of fixed size takes; a bit for a boolean. */
const widths: Readonly<Record<string, number>> = {
  BOOLEAN: 1 / 8,
  INT32: 4,
  INT64: 8,
  INT96: 12,
  FLOAT: 4,
  DOUBLE: 8,
  BYTE_ARRAY: 4,
};

const pageTypes = { data: 0, index: 1, dictionary: 2, dataV2: 3 } as const;
const encodings = {
  plain: 0,
  plainDictionary: 2,
  runs: 3,
  deltaNumbers: 5,
  deltaLengths: 6,
  deltaTexts: 7,
  dictionary: 8,
  split: 9,
} as const;

/**
 * Checks the pages of `chunk`.
 *
 * @param decompress - null for pages that are not compressed
 * @returns the decompressed pages in their order, those that were compressed alone
 * @throws PageError, ThriftError when something is not what it says, or takes too much
 */
export function checkPages(chunk: Chunk, leaf: Leaf, decompress: Decompress | null): Uint8Array[] {
  return new PageWalk(chunk, leaf, decompress).pages();
}

interface Page {
  type: number;
  /** The fields of its kind. */
  fields: ThriftStruct;
  stored: Uint8Array;
  size: number;
}

class PageWalk {
  readonly #chunk: Chunk;
  readonly #leaf: Leaf;
  readonly #decompress: Decompress | null;
  readonly #decompressed: Uint8Array[] = [];
  #left: number;
  #values = 0;
  #rows = 0;
  /** Entries of the dictionary; null before it came. */
  #dictionary: number | null = null;

  constructor(chunk: Chunk, leaf: Leaf, decompress: Decompress | null) {
    this.#chunk = chunk;
    this.#leaf = leaf;
    this.#decompress = decompress;
    this.#left = freeBytes + maxExpansion * chunk.bytes.length;
  }

  pages(): Uint8Array[] {
    const { bytes, values, rows } = this.#chunk;
    const isNested = this.#leaf.maxRepetition > 0;
    for (let at = 0; isNested ? at < bytes.length : this.#values < values; ) {
      if (at >= bytes.length) throw new PageError("it has fewer values than its footer says");
      const { page, end } = this.#header(at);
      this.#page(page);
      at = end;
    }
    if (this.#values !== values) throw new PageError("it has another number of values than its footer says");
    if (this.#rows !== rows) throw new PageError("it has another number of rows than its footer says");
    return this.#decompressed;
  }

  #header(at: number): { page: Page; end: number } {
    const { bytes } = this.#chunk;
    const { fields, end: start } = readStruct(bytes, at, maxHeaderValues);
    const type = sizeOf(fields, 1);
    const size = sizeOf(fields, 2);
    const end = start + sizeOf(fields, 3);
    if (end > bytes.length) throw new PageError("a page of it is larger than its column");
    const place = { [pageTypes.data]: 5, [pageTypes.dictionary]: 7, [pageTypes.dataV2]: 8 }[type];
    const inner = place === undefined ? undefined : fields.get(place);
    if (!(inner instanceof Map)) throw new PageError("it has a page of an unknown kind");
    this.#spend(size);
    return { page: { type, fields: inner, stored: bytes.subarray(start, end), size }, end };
  }

  #page(page: Page): void {
    if (page.type === pageTypes.dictionary) this.#dictionaryPage(page);
    else if (page.type === pageTypes.data) this.#dataPage(page);
    else this.#dataPageV2(page);
  }

  #content(stored: Uint8Array, size: number): Uint8Array {
    if (this.#decompress === null) {
      if (stored.length !== size) throw new PageError("a page of it has another length than its header says");
      return stored;
    }
    if (size === 0) return new Uint8Array(0);
    const content = this.#decompress(stored, size);
    if (content.length !== size) throw new PageError("a page of it has another length than its header says");
    this.#decompressed.push(content);
    return content;
  }

  #dictionaryPage({ fields, stored, size }: Page): void {
    if (this.#dictionary !== null || this.#values > 0) throw new PageError("it has two dictionaries");
    const count = sizeOf(fields, 1);
    this.#plain(wholeOf(this.#content(stored, size)), count);
    this.#dictionary = count;
  }

  #dataPage({ fields, stored, size }: Page): void {
    const count = this.#count(fields);
    const bytes = this.#content(stored, size);
    const { maxRepetition, maxDefinition } = this.#leaf;
    let start = 0;
    const levels = (most: number): { zeros: number; full: number } => {
      if (most === 0) return { zeros: count, full: count };
      const end = start + 4 + uint32(bytes, start);
      if (end > bytes.length) throw new PageError("levels of it are longer than their page");
      const seen = scanLevels({ bytes, start: start + 4, end }, most, count);
      start = end;
      return seen;
    };
    this.#rows += levels(maxRepetition).zeros;
    const { full } = levels(maxDefinition);
    this.#contentValues({ bytes, start, end: bytes.length }, sizeOf(fields, 2), full, "v1");
  }

  #dataPageV2({ fields, stored, size }: Page): void {
    const count = this.#count(fields);
    const [nulls, rows] = [sizeOf(fields, 2), sizeOf(fields, 3)];
    const [definition, repetition] = [sizeOf(fields, 5), sizeOf(fields, 6)];
    const start = definition + repetition;
    if (start > stored.length || start > size) throw new PageError("levels of it are longer than their page");
    const { maxRepetition, maxDefinition } = this.#leaf;
    const levels = (span: ByteSpan, most: number): { zeros: number; full: number } =>
      most === 0 ? { zeros: count, full: count } : scanLevels(span, most, count);
    const { zeros } = levels({ bytes: stored, start: 0, end: repetition }, maxRepetition);
    const { full } = levels({ bytes: stored, start: repetition, end: start }, maxDefinition);
    if (zeros !== rows || full !== count - nulls) throw new PageError("a page of it counts its rows wrong");
    this.#rows += rows;
    const isCompressed = fields.get(7) !== false && this.#decompress !== null;
    const bytes = stored.subarray(start);
    const content = isCompressed ? this.#content(bytes, size - start) : bytes;
    this.#contentValues(wholeOf(content), sizeOf(fields, 4), full, "v2");
  }

  /** The values of a page, which are added to those of the chunk. */
  #count(fields: ThriftStruct): number {
    const count = sizeOf(fields, 1);
    this.#values += count;
    if (this.#values > this.#chunk.values) throw new PageError("it has more values than its footer says");
    return count;
  }

  #contentValues(span: ByteSpan, encoding: number, count: number, version: "v1" | "v2"): void {
    const { type } = this.#leaf;
    const isNumber = type === "INT32" || type === "INT64";
    if (encoding === encodings.plain) this.#plain(span, count);
    else if (encoding === encodings.dictionary || encoding === encodings.plainDictionary) {
      this.#indices(span, count, version);
    } else if (encoding === encodings.runs && type === "BOOLEAN") {
      if (count > 0) scanRuns({ ...span, start: span.start + 4 }, 1, count, () => {});
    } else if (encoding === encodings.split) this.#fits(span, count);
    else if (encoding === encodings.deltaNumbers && isNumber) deltaHeader(span, count);
    else if (encoding === encodings.deltaLengths) lengths(span, count);
    else if (encoding === encodings.deltaTexts) this.#prefixes(span, count);
    else throw new PageError(`it has values of ${type} in the unknown encoding ${encoding}`);
  }

  #fits({ start, end }: ByteSpan, count: number): void {
    if (count * this.#width() > end - start) throw new PageError("a page of it is too short for its values");
  }

  /** Values in full: their lengths must fit. */
  #plain(span: ByteSpan, count: number): void {
    this.#fits(span, count);
    if (this.#leaf.type !== "BYTE_ARRAY") return;
    const { bytes, start, end } = span;
    let at = start;
    for (let i = 0; i < count; i++) {
      if (at + 4 > end) throw new PageError("a page of it is too short for its values");
      at += 4 + uint32(bytes, at);
    }
    if (at > end) throw new PageError("a text of it is longer than its page");
  }

  #width(): number {
    const { type, typeLength } = this.#leaf;
    return type === "FIXED_LEN_BYTE_ARRAY" ? typeLength : (widths[type] ?? Number.POSITIVE_INFINITY);
  }

  /** Indices into the dictionary, all of which must be there. */
  #indices({ bytes, start, end }: ByteSpan, count: number, version: "v1" | "v2"): void {
    const size = this.#dictionary;
    if (size === null) throw new PageError("it has no dictionary");
    if (start >= end) {
      if (count === 0) return;
      throw new PageError("a page of it is too short for its values");
    }
    const width = bytes[start] ?? 0;
    if (width > 32) throw new PageError("its indices have an unknown width");
    let most = 0;
    if (width > 0 || version === "v2") {
      scanRuns({ bytes, start: start + 1, end }, width, count, (index) => {
        if (index > most) most = index;
      });
    }
    if (count > 0 && most >= size) throw new PageError("it has indices beyond its dictionary");
  }

  /** Texts that begin with a part of the one before: each part must be there, and all together are counted as bytes. */
  #prefixes(span: ByteSpan, count: number): void {
    const prefixes = deltaNumbers(span, count);
    const suffixes = lengths({ ...span, start: prefixes.end }, count);
    let before = 0;
    for (const [i, prefix] of prefixes.numbers.entries()) {
      if (prefix < 0 || prefix > before)
        throw new PageError("a text of it begins with more than the one before has");
      before = prefix + (suffixes[i] ?? 0);
      this.#spend(before);
    }
  }

  #spend(bytes: number): void {
    this.#left -= bytes;
    if (this.#left < 0) {
      throw new PageError(`its pages hold more than ${maxExpansion} times as much as they take`);
    }
  }
}

/** Lengths of texts that stand behind them. */
function lengths(span: ByteSpan, count: number): Int32Array {
  const { numbers, end } = deltaNumbers(span, count);
  let at = end;
  for (const length of numbers) {
    if (length < 0) throw new PageError("a text of it has a length below 0");
    at += length;
  }
  if (at > span.end) throw new PageError("a text of it is longer than its page");
  return numbers;
}

function scanLevels(span: ByteSpan, most: number, count: number): { zeros: number; full: number } {
  let [zeros, full, above] = [0, 0, 0];
  scanRuns(span, 32 - Math.clz32(most), count, (level, times) => {
    if (level === 0) zeros += times;
    if (level === most) full += times;
    else if (level > most) above += times;
  });
  if (above > 0) throw new PageError("it has levels that its schema does not have");
  return { zeros, full };
}

function wholeOf(bytes: Uint8Array): ByteSpan {
  return { bytes, start: 0, end: bytes.length };
}

function uint32(bytes: Uint8Array, at: number): number {
  if (at + 4 > bytes.length) throw new PageError("it ends too early");
  return new DataView(bytes.buffer, bytes.byteOffset + at, 4).getUint32(0, true);
}

/** A field that is a whole number from 0 on. */
function sizeOf(fields: ThriftStruct, id: number): number {
  const value = fields.get(id);
  if (typeof value !== "number" || !(value >= 0)) throw new PageError("a header of it lacks a size or count");
  return value;
}
