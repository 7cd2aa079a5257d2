/** Reads files of tokenised rows, which several processes map: `row-file.ts` says how they are made up. */
import { createHash } from "node:crypto";
import { at } from "../base/at.ts";
import { FormatError, messageOf } from "../base/errors.ts";
import { isRecord } from "../base/is-record.ts";
import { type JsonLimits, requireJsonLimits } from "../base/json-limits.ts";
import type { Dataset } from "./dataset.ts";
import type { Completion, Example } from "./example.ts";
import {
  bytesOf,
  digestBytes,
  headerBytes,
  headerNumbers,
  listNumbers,
  magic,
  type Places,
  pieceBytes,
  placesOf,
  type RowFile,
  rowNumbers,
  rowsOf,
  type Sizes,
  type StoredBytes,
  version,
} from "./row-file.ts";
import { parseValues } from "./stored-values.ts";

const factLimits: JsonLimits = {
  bytes: 2 ** 28,
  depth: 64,
  members: 1_000_000,
  elements: 1_000_000,
  parts: 1_000_000,
};

/** What a file has to be. */
export interface ExpectedRows {
  /** For messages. */
  path: string;
  /** Of what decides the rows. */
  fingerprint: string;
  /** Tokens have smaller ids. */
  vocabSize: number;
}

/**
 * What a file holds whose bytes lie in `bytes`. Tokens are read where and when they are asked for: `bytes` stay in use
 * by the examples.
 *
 * @throws {FormatError} when the file is cut short, has changed, or holds what no such file may
 */
export function readRowFile(bytes: StoredBytes, expected: ExpectedRows): RowFile {
  const reader = new Reader(bytes, expected);
  const { files, report, fingerprint, ...others } = reader.facts();
  const examples = reader.examples(files);
  const { train, held } = reader.sizes;
  const evalExamples = held === null ? null : examples.slice(train);
  const dataset = { examples: examples.slice(0, train), evalExamples, report, fingerprint };
  const { textFingerprint, templates, stopIds } = others;
  return { dataset, textFingerprint, templates, stopIds };
}

type Facts = Omit<RowFile, "dataset"> & Pick<Dataset, "report" | "fingerprint"> & { files: string[] };

/** A file whose sizes and digest are right. */
class Reader {
  readonly sizes: Sizes;
  readonly #bytes: StoredBytes;
  readonly #expected: ExpectedRows;
  readonly #places: Places;

  constructor(bytes: StoredBytes, expected: ExpectedRows) {
    this.#bytes = bytes;
    this.#expected = expected;
    this.sizes = this.#header();
    this.#places = placesOf(this.sizes);
    this.#require(this.#places.digest + digestBytes === bytes.size, "it is cut short or too long");
    const digest = this.#stored(this.#places.digest, digestBytes).toString("hex");
    this.#require(this.#computedDigest() === digest, "it has changed since it was written (SHA-256)");
    const fingerprint = this.#stored(headerBytes, digestBytes).toString("hex");
    this.#require(fingerprint === expected.fingerprint, "its rows are others");
  }

  #require(holds: boolean, what: string): void {
    if (holds) return;
    throw new FormatError(
      `${this.#expected.path}: expected a file of tokenised rows, but ${what}. Remove it: it is made again from the rows.`,
    );
  }

  #header(): Sizes {
    this.#require(this.#bytes.size >= headerBytes + 2 * digestBytes, "it is cut short");
    this.#require(this.#stored(0, magic.length).toString("latin1") === magic, "it is of another kind");
    const header = this.#filled(magic.length, new BigUint64Array(headerNumbers));
    const [found, train = 0, held = 0, lists = 0, tokens = 0, masks = 0, details = 0, facts = 0] = Array.from(
      header,
      Number,
    );
    this.#require(found === version, `it is of version ${found}, not ${version}`);
    return { train, held: held === 0 ? null : held - 1, lists, tokens, masks, details, facts };
  }

  #filled<T extends ArrayBufferView>(from: number, array: T): T {
    this.#bytes.read(from, bytesOf(array));
    return array;
  }

  #stored(from: number, length: number): Buffer {
    return this.#filled(from, Buffer.alloc(length));
  }

  #computedDigest(): string {
    const hash = createHash("sha256");
    for (const piece of this.#pieces(0, this.#places.digest)) hash.update(piece);
    return hash.digest("hex");
  }

  /** The bytes from `from` to before `to`, in pieces that share one array. */
  *#pieces(from: number, to: number): Generator<Buffer<ArrayBuffer>> {
    const room = Buffer.alloc(Math.min(pieceBytes, to - from));
    for (let place = from; place < to; place += room.length) {
      yield this.#filled(place, room.subarray(0, Math.min(room.length, to - place)));
    }
  }

  facts(): Facts {
    const text = this.#stored(this.#places.facts, this.sizes.facts);
    requireJsonLimits(text, this.#expected.path, factLimits);
    const facts = this.#parsed(text);
    const isStrings = (value: unknown) =>
      Array.isArray(value) && value.every((one) => typeof one === "string");
    const { files, report, fingerprint, textFingerprint, templates, stopIds } = facts;
    const areRight =
      isStrings(files) && isStrings([fingerprint, textFingerprint]) && isRecord(report) && isIds(stopIds);
    this.#require(areRight && Array.isArray(templates), "its facts are wrong");
    return facts as unknown as Facts;
  }

  #parsed(text: Buffer): Record<string, unknown> {
    let value: unknown;
    try {
      value = parseValues(text.toString("utf8"));
    } catch (error) {
      this.#require(false, messageOf(error));
    }
    this.#require(isRecord(value), "its JSON is no object");
    return value as Record<string, unknown>;
  }

  /** All rows. @param files - names by their numbers */
  examples(files: readonly string[]): Example[] {
    const { sizes } = this;
    const places = this.#places;
    const rows = this.#filled(places.rows, new Float64Array(rowNumbers * rowsOf(sizes)));
    const lists = this.#lists();
    const details = this.#stored(places.details, sizes.details);
    const examples: Example[] = [];
    let [list, detail] = [0, 0];
    for (let i = 0; i < rows.length; i += rowNumbers) {
      const [line = -1, number = -1, answers = -1, length = -1] = rows.subarray(i, i + rowNumbers);
      const file = files[number];
      const isRight = [line, answers, length].every((one) => Number.isSafeInteger(one) && one >= 0);
      this.#require(isRight && list + answers < sizes.lists, "a row's numbers are wrong");
      if (file === undefined) throw new FormatError(`${this.#expected.path}: a row of an unknown file`);
      const text = details.subarray(detail, detail + length);
      this.#require(text.length === length, "a row's details are cut short");
      const has = length === 0 ? {} : this.#parsed(text);
      examples.push(lists.example(list, answers, { ...has, origin: { file, line } }));
      list += 1 + answers;
      detail += length;
    }
    this.#require(list === sizes.lists && detail === sizes.details, "its rows do not add up");
    return examples;
  }

  #lists(): StoredLists {
    const { lists, tokens, masks } = this.sizes;
    const lengths = this.#filled(this.#places.lists, new Uint32Array(listNumbers * lists));
    const stored = new StoredLists(this.#bytes, this.#places, lengths);
    this.#require(
      stored.tokens === tokens && stored.masks === masks && stored.isWhole,
      "its lists do not add up",
    );
    const places = this.#places;
    for (const piece of this.#pieces(places.tokens, places.tokens + 4 * tokens)) {
      const ids = new Int32Array(piece.buffer, piece.byteOffset, piece.length / 4);
      this.#require(
        ids.every((id) => id >= 0 && id < this.#expected.vocabSize),
        "a token is beyond the vocabulary",
      );
    }
    for (const piece of this.#pieces(places.masks, places.masks + masks))
      this.#require(
        piece.every((bit) => bit <= 1),
        "a mask has other numbers than 0 and 1",
      );
    return stored;
  }
}

function isIds(value: unknown): boolean {
  return Array.isArray(value) && value.every((id) => Number.isSafeInteger(id) && id >= 0);
}

/** Lists of tokens, each read when it is asked for: no process holds them all. */
class StoredLists {
  /** Of all lists. */
  readonly tokens: number;
  readonly masks: number;
  /** Whether each list has no mask, or one of its length. */
  readonly isWhole: boolean;
  readonly #bytes: StoredBytes;
  readonly #places: Places;
  /** Tokens before each list, and bytes of masks. */
  readonly #tokensBefore: Float64Array;
  readonly #masksBefore: Float64Array;

  /** @param lengths - of each list its tokens and the bytes of its mask */
  constructor(bytes: StoredBytes, places: Places, lengths: Uint32Array) {
    const lists = lengths.length / listNumbers;
    this.#bytes = bytes;
    this.#places = places;
    this.#tokensBefore = new Float64Array(lists + 1);
    this.#masksBefore = new Float64Array(lists + 1);
    let isWhole = true;
    for (let list = 0; list < lists; list++) {
      const [tokens = 0, masks = 0] = lengths.subarray(listNumbers * list, listNumbers * (list + 1));
      this.#tokensBefore[list + 1] = at(this.#tokensBefore, list) + tokens;
      this.#masksBefore[list + 1] = at(this.#masksBefore, list) + masks;
      isWhole &&= masks === 0 || masks === tokens;
    }
    this.isWhole = isWhole;
    this.tokens = at(this.#tokensBefore, lists);
    this.masks = at(this.#masksBefore, lists);
  }

  /** The row whose prompt is list `prompt`; the answers follow it. */
  example(prompt: number, answers: number, others: Omit<Example, "promptIds" | "completions">): Example {
    const ids = (list: number) => this.#ids(list);
    const completions = Array.from({ length: answers }, (_, i) => this.#completion(prompt + 1 + i));
    return {
      ...others,
      get promptIds() {
        return ids(prompt);
      },
      completions,
    };
  }

  #completion(list: number): Completion {
    const ids = () => this.#ids(list);
    const mask = () => this.#mask(list);
    const all = {
      get ids() {
        return ids();
      },
    };
    if (at(this.#masksBefore, list) === at(this.#masksBefore, list + 1)) return all;
    return Object.defineProperty(all, "mask", { get: mask, enumerable: true });
  }

  #ids(list: number): number[] {
    const first = at(this.#tokensBefore, list);
    const ids = new Int32Array(at(this.#tokensBefore, list + 1) - first);
    this.#bytes.read(this.#places.tokens + 4 * first, bytesOf(ids));
    return Array.from(ids);
  }

  #mask(list: number): number[] {
    const first = at(this.#masksBefore, list);
    const mask = new Uint8Array(at(this.#masksBefore, list + 1) - first);
    this.#bytes.read(this.#places.masks + first, mask);
    return Array.from(mask);
  }
}
