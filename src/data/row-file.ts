/**
 * Tokenised rows as a file, which the processes of a host map instead of tokenising each: what `prepareDataset` gave, and what the
 * rows were tokenised with.
 *
 * Numbers are in the machine's own byte order. Each part begins at a multiple of 8 bytes, with zeros before it:
 *
 * | Part | Holds |
 * | --- | --- |
 * | header | "preftune-rows" and 3 zeros; 8 uint64: version, training rows, held-out rows + 1 (0: none were asked for), lists, tokens, bytes of masks, of details, of facts |
 * | fingerprint | 32 bytes: SHA-256 of what decides the rows |
 * | rows | 4 float64 a row: line, number of its file, answers, bytes of its details |
 * | lists | 2 uint32 a list (of each row its prompt, then its answers): tokens, bytes of its mask, which are none or one a token |
 * | tokens | int32 |
 * | masks | a byte a token: 0 or 1 |
 * | details | of each row what it has besides, as JSON (`stored-values.ts`) |
 * | facts | the rest of `RowFile`, likewise |
 * | digest | 32 bytes: SHA-256 of everything before |
 *
 * It is read as a file of an unknown author: sizes and ranges are checked before anything is used.
 */
import type { TemplateUse } from "../text/encode.ts";
import type { Dataset } from "./dataset.ts";

/** What such a file holds. */
export interface RowFile {
  dataset: Dataset;
  /** Hash of tokenizer, template and policy. */
  textFingerprint: string;
  /** The chat templates that rows went through. */
  templates: TemplateUse[];
  /** Tokens that end an answer. */
  stopIds: number[];
}

/** Bytes that lie somewhere: in a file that is mapped. */
export interface StoredBytes {
  size: number;
  /** Fills `into` with the bytes from `from` on, which are there. */
  read(from: number, into: Uint8Array): void;
}

/** What a file begins with. */
export const magic = "preftune-rows\0\0\0";
export const version = 1;
/** Those of the header: version and sizes. */
export const headerNumbers = 8;
export const headerBytes: number = magic.length + 8 * headerNumbers;
/** Of a SHA-256. */
export const digestBytes = 32;
/** Bytes that are written or checked at once. */
export const pieceBytes: number = 2 ** 20;
/** Numbers of a row, and of a list. */
export const rowNumbers = 4;
export const listNumbers = 2;

/** Numbers of the header behind the version. */
export interface Sizes {
  train: number;
  /** Null where none were asked for. */
  held: number | null;
  lists: number;
  tokens: number;
  masks: number;
  details: number;
  facts: number;
}

/** Where the parts begin. */
export interface Places {
  rows: number;
  lists: number;
  tokens: number;
  masks: number;
  details: number;
  facts: number;
  digest: number;
}

/** Rows of both kinds. */
export function rowsOf({ train, held }: Sizes): number {
  return train + (held ?? 0);
}

/** Where the parts begin in a file of these sizes. */
export function placesOf(sizes: Sizes): Places {
  const aligned = (place: number) => Math.ceil(place / 8) * 8;
  const rows = headerBytes + digestBytes;
  const lists = rows + 8 * rowNumbers * rowsOf(sizes);
  const tokens = lists + 4 * listNumbers * sizes.lists;
  const masks = aligned(tokens + 4 * sizes.tokens);
  const details = aligned(masks + sizes.masks);
  const facts = aligned(details + sizes.details);
  return { rows, lists, tokens, masks, details, facts, digest: aligned(facts + sizes.facts) };
}

/** The memory of an array. */
export function bytesOf(array: ArrayBufferView): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}
