/** What is used of @huggingface/tokenizers. Its own declarations do not resolve under Node's module rules, so they stand here. */
import * as library from "@huggingface/tokenizers";

import type { JsonObject } from "../tokenizer-files.ts";

/** A vocabulary and a way to write pieces with it. */
export interface Model {
  /** Token ids of one piece. */
  encode(piece: string): readonly number[];
  /**
   * The same in steps, for a piece that may be long: yields, every now and then, the fewest tokens that the piece has.
   * Absent where no piece takes long.
   */
  steps?(piece: string): Generator<number, readonly number[]>;
  idOf(token: string): number | undefined;
  tokenOf(id: number): string | undefined;
  /** Number of texts in the vocabulary. */
  readonly size: number;
  readonly ids: Iterable<number>;
}

/** A model of the library: writes pieces of text as tokens. */
export interface LibraryModel {
  (pieces: string[]): string[];
  tokens_to_ids: Map<string, number>;
  vocab: (string | undefined)[];
  unk_token_id?: number | undefined;
}

interface Classes {
  // biome-ignore-start lint/style/useNamingConvention: the library's names
  WordPiece: new (
    config: JsonObject,
  ) => LibraryModel;
  SplitPreTokenizer: new (
    config: JsonObject,
  ) => { pattern: RegExp };
  // biome-ignore-end lint/style/useNamingConvention: the library's names
}

/** The library's classes. */
export const classes: Classes = library as unknown as Classes;
