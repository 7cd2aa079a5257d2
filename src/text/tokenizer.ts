/**
 * A tokenizer loaded from a Hugging Face directory: text to token ids and back, special tokens, chat templates.
 *
 * Built on the tokenizers library (tokenizer-library.ts). What is added here: checks with clear messages, and a cache
 * of sections between added tokens, so that texts with a common beginning are not tokenised twice.
 */
import { DataError, FormatError, messageOf } from "../base/errors.ts";
import { byteOfToken } from "./byte-fallback.ts";
import { halfPairReason } from "./json.ts";
import { SectionSplitter } from "./sections.ts";
import { byteLevelBytes } from "./token-bytes.ts";
import {
  type ChatTemplates,
  type JsonObject,
  readTokenizerFiles,
  type SpecialTokens,
  type TokenizerFiles,
} from "./tokenizer-files.ts";
import { TokenizerPipeline } from "./tokenizer-library.ts";
import { allAddedTokens } from "./tokenizers/config-tokens.ts";
import { requireTokenizerLimits } from "./tokenizers/limits.ts";
import { countedFrom, ownText, toEnd } from "./tokenizers/steps.ts";
import { UnsupportedPart } from "./tokenizers/tokenizer-parts.ts";

/** A token added on top of the model's vocabulary. */
export interface AddedToken {
  id: number;
  text: string;
  /** True for control tokens, which `skipSpecialTokens` leaves out. */
  isSpecial: boolean;
}

/** A text that is none: Python's tokenizers refuse it too. */
export class HalfPairError extends DataError {}

/** Text to token ids and back, with what the tokenizer's files say about it. */
export interface Tokenizer {
  /**
   * Token ids of `text`.
   *
   * @throws HalfPairError when it has half of a surrogate pair, which no tokenizer can tell from another
   * @param options.addSpecialTokens - true: apply the tokenizer's own post-processor (usually a BOS in front);
   *   false for text that a chat template has rendered, which brings its own special tokens
   */
  encode(text: string, options: { addSpecialTokens: boolean }): number[];
  /**
   * The same in steps of some thousand characters, between which who asks may do something else or give up: yields the
   * fewest tokens that the text is known to have.
   */
  encodeSteps(text: string, options: { addSpecialTokens: boolean }): Generator<number, number[]>;
  /** Text of `ids`, verbatim: no clean-up of spaces. Ids outside the vocabulary are left out. */
  decode(ids: readonly number[], options: { skipSpecialTokens: boolean }): string;
  /**
   * The bytes that one token stands for inside a text, exact where they are a part of a character only. At the beginning
   * of a text SentencePiece decoders leave out a space. None for an unknown id.
   */
  tokenBytes(id: number): Uint8Array;
  /** Whether `skipSpecialTokens` leaves the token out. */
  isSpecial(id: number): boolean;
  /** Id of one token given as text, or null when the vocabulary has none. */
  tokenId(text: string): number | null;
  /** A token as the vocabulary spells it, or null for an unknown id. */
  tokenText(id: number): string | null;
  readonly bosTokenId: number | null;
  readonly eosTokenId: number | null;
  readonly padTokenId: number | null;
  readonly bosToken: string | null;
  readonly eosToken: string | null;
  readonly padToken: string | null;
  readonly unkToken: string | null;
  /** These and all others that have a name, by the name that chat templates read. */
  readonly specialTokens: SpecialTokens;
  /** Largest token id plus one. A text model may have fewer rows: a last token may stand for images only. */
  readonly vocabSize: number;
  readonly addedTokens: readonly AddedToken[];
  readonly chatTemplates: ChatTemplates;
  /** SHA-256 of tokenizer.json. */
  readonly fingerprint: string;
  readonly directory: string;
  /** Tokenizer files to copy on export, relative to `directory`. */
  readonly files: readonly string[];
}

const cachedCharacters = 4_000_000;

/**
 * The tokenizer in `directory`.
 *
 * @throws FormatError when tokenizer.json or tokenizer_config.json is missing, malformed or of an unknown kind
 */
export function loadTokenizer(directory: string): Tokenizer {
  const files = readTokenizerFiles(directory);
  let pipeline: TokenizerPipeline;
  try {
    requireTokenizerLimits(files.tokenizer);
    const json = { ...files.tokenizer, added_tokens: allAddedTokens(files) };
    pipeline = new TokenizerPipeline(json);
  } catch (error) {
    if (error instanceof FormatError) throw error;
    throw new FormatError(
      `Expected a tokenizer.json that can be used in ${directory}, but: ${messageOf(error)}. ` +
        `Save it again with a current version of transformers, or take another model's.`,
      { cause: error },
    );
  }
  return new PipelineTokenizer(directory, files, pipeline);
}

class PipelineTokenizer implements Tokenizer {
  readonly directory: string;
  readonly files: readonly string[];
  readonly fingerprint: string;
  readonly chatTemplates: ChatTemplates;
  readonly addedTokens: readonly AddedToken[];
  readonly vocabSize: number;
  readonly bosToken: string | null;
  readonly eosToken: string | null;
  readonly padToken: string | null;
  readonly unkToken: string | null;
  readonly specialTokens: SpecialTokens;
  readonly bosTokenId: number | null;
  readonly eosTokenId: number | null;
  readonly padTokenId: number | null;
  readonly #pipeline: TokenizerPipeline;
  readonly #specialIds: ReadonlySet<number>;
  readonly #addedIds: ReadonlySet<number>;
  /** Null when sections of this tokenizer depend on their neighbours. */
  readonly #splitter: SectionSplitter | null;
  readonly #cache: Map<string, number[]> = new Map();
  #cachedCharacters = 0;

  constructor(directory: string, files: TokenizerFiles, pipeline: TokenizerPipeline) {
    this.directory = directory;
    this.files = files.files;
    this.fingerprint = files.fingerprint;
    this.chatTemplates = files.chatTemplates;
    this.#pipeline = pipeline;
    const added = pipeline.addedTokens;
    this.addedTokens = added.map(({ id, content, special }) => ({ id, text: content, isSpecial: special }));
    this.#addedIds = new Set(added.map(({ id }) => id));
    this.#specialIds = new Set(this.addedTokens.filter((token) => token.isSpecial).map((token) => token.id));
    this.vocabSize = pipeline.largestId + 1;
    this.#splitter = sectionSplitter(pipeline, files.tokenizer);
    this.specialTokens = files.specialTokens;
    const { bos_token = null, eos_token = null, pad_token = null, unk_token = null } = files.specialTokens;
    this.bosToken = bos_token;
    this.eosToken = eos_token;
    this.padToken = pad_token;
    this.unkToken = unk_token;
    this.bosTokenId = this.#requiredId("bos_token", bos_token);
    this.eosTokenId = this.#requiredId("eos_token", eos_token);
    // Padding is never used in training, so a pad token that was never added to the vocabulary does no harm.
    this.padTokenId = pad_token === null ? null : this.tokenId(pad_token);
  }

  encode(text: string, options: { addSpecialTokens: boolean }): number[] {
    return toEnd(this.encodeSteps(text, options));
  }

  *encodeSteps(text: string, options: { addSpecialTokens: boolean }): Generator<number, number[]> {
    if (!text.isWellFormed()) throw new HalfPairError(`expected text, but ${halfPairReason(text)}.`);
    try {
      return yield* this.#steps(text, options.addSpecialTokens);
    } catch (error) {
      throw this.#failure(error);
    }
  }

  *#steps(text: string, addSpecialTokens: boolean): Generator<number, number[]> {
    if (addSpecialTokens || this.#splitter === null) {
      return yield* this.#pipeline.steps(text, addSpecialTokens);
    }
    const ids: number[] = [];
    for (const section of this.#splitter.split(text)) {
      const known = this.#cache.get(section.text) ?? (yield* this.#sectionSteps(section.text, ids.length));
      for (const id of known) ids.push(id);
    }
    return ids;
  }

  decode(ids: readonly number[], options: { skipSpecialTokens: boolean }): string {
    const { skipSpecialTokens } = options;
    try {
      return this.#pipeline.decode(skipSpecialTokens ? ids.filter((id) => !this.#specialIds.has(id)) : ids);
    } catch (error) {
      throw this.#failure(error);
    }
  }

  /** What a text meets in tokenizer.json that is not available here is said as a fault of that file. */
  #failure(error: unknown): unknown {
    if (!(error instanceof UnsupportedPart)) return error;
    return new FormatError(
      `${this.directory}/tokenizer.json cannot be used for a text: ${error.message}. Take another model's tokenizer.`,
      { cause: error },
    );
  }

  tokenBytes(id: number): Uint8Array {
    const piece = this.#pipeline.token(id);
    const isAdded = this.#addedIds.has(id);
    if (piece !== undefined && !isAdded && this.#pipeline.decoders.has("ByteLevel")) {
      const bytes = byteLevelBytes(piece);
      if (bytes !== null) return bytes;
    }
    const byte =
      piece !== undefined && this.#pipeline.decoders.has("ByteFallback") ? byteOfToken(piece) : null;
    if (byte !== null) return Uint8Array.of(byte);
    // behind itself a token is not at the beginning
    const twice = this.decode([id, id], { skipSpecialTokens: false });
    const alone = this.decode([id], { skipSpecialTokens: false });
    return new TextEncoder().encode(twice.slice(alone.length));
  }

  isSpecial(id: number): boolean {
    return this.#specialIds.has(id);
  }

  tokenId(text: string): number | null {
    return this.#pipeline.id(text) ?? null;
  }

  tokenText(id: number): string | null {
    return this.#pipeline.token(id) ?? null;
  }

  *#sectionSteps(text: string, before: number): Generator<number, number[]> {
    const ids = yield* countedFrom(before, this.#pipeline.steps(text, false));
    if (this.#cachedCharacters + text.length > cachedCharacters) {
      this.#cache.clear();
      this.#cachedCharacters = 0;
    }
    this.#cachedCharacters += text.length;
    this.#cache.set(ownText(text), ids);
    return ids;
  }

  #requiredId(key: string, text: string | null): number | null {
    if (text === null) return null;
    const id = this.tokenId(text);
    if (id !== null) return id;
    throw new FormatError(
      `Expected ${key} "${text}" of ${this.directory}/tokenizer_config.json (or special_tokens_map.json) in the vocabulary of tokenizer.json, ` +
        `but it is not there. The files do not belong together: take them from the same model.`,
    );
  }
}

/** A splitter for the section cache, or null when a section's tokens depend on what stands beside it. */
function sectionSplitter({ addedTokens }: TokenizerPipeline, json: JsonObject): SectionSplitter | null {
  if (addedTokens.some((token) => token.lstrip || token.rstrip || token.singleWord)) return null;
  if (JSON.stringify(json["pre_tokenizer"] ?? null).includes('"Metaspace"')) return null;
  // Added tokens that are looked for in normalised text are found inside a section.
  const plain = addedTokens.filter((token) => !token.normalized);
  return new SectionSplitter(plain.map((token) => token.content));
}
