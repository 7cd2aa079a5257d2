/**
 * A tokenizer from the contents of tokenizer.json, as the Rust tokenizers run it: added tokens, normalizer,
 * pre-tokenizer, model, post-processor, decoder. The library @huggingface/tokenizers has WordPiece and the patterns.
 */
import { isRecord } from "../base/is-record.ts";
import type { JsonObject } from "./tokenizer-files.ts";
import { type AddedTokenEntry, AddedTokenFinder, readAddedTokens } from "./tokenizers/added-tokens.ts";
import { type Decode, decoderTypes, lengthOf, makeDecoder } from "./tokenizers/decoders.ts";
import type { Model } from "./tokenizers/library.ts";
import { hasUnknownPattern, limitedWork } from "./tokenizers/limited.ts";
import { requireTokenizerLimits } from "./tokenizers/limits.ts";
import { makeModel } from "./tokenizers/models.ts";
import { makeNormalizer, type Normalize, sizeOf } from "./tokenizers/normalizers.ts";
import { makePostProcessor, type PostProcess } from "./tokenizers/post-processors.ts";
import { makePreTokenizer, type PreTokenize } from "./tokenizers/pre-tokenizers.ts";
import { countedFrom, toEnd } from "./tokenizers/steps.ts";
import { partOrNull, UnsupportedPart } from "./tokenizers/tokenizer-parts.ts";

/** Characters read between two steps. */
const charactersAStep = 4096;

/** `work` under a limit of time, if it has to be, by the characters that it is given. */
function limited<A, B>(
  work: (given: A) => B,
  hasTo: boolean,
  characters: (given: A) => number,
): (given: A) => B {
  return hasTo ? (given) => limitedWork(characters(given), () => work(given)) : work;
}

/** Text to ids and back. */
export class TokenizerPipeline {
  readonly addedTokens: readonly AddedTokenEntry[];
  /** Types of the decoder's parts. */
  readonly decoders: ReadonlySet<string>;
  readonly #model: Model;
  readonly #addedIds: ReadonlyMap<string, number>;
  readonly #addedTexts: ReadonlyMap<number, string>;
  readonly #shownTexts: ReadonlyMap<number, string>;
  readonly #plain: AddedTokenFinder;
  readonly #normalized: AddedTokenFinder;
  readonly #normalize: Normalize;
  readonly #preTokenize: PreTokenize;
  readonly #postProcess: PostProcess;
  readonly #decode: Decode;

  /** @throws UnsupportedPart for what tokenizer.json asks for and is not available */
  constructor(json: JsonObject) {
    if (!isRecord(json["model"])) throw new UnsupportedPart("there is no model");
    requireTokenizerLimits(json);
    this.#model = makeModel(json["model"]);
    const normalizer = partOrNull(json["normalizer"], "normalizer");
    const decoder = partOrNull(json["decoder"], "decoder");
    const preTokenizer = partOrNull(json["pre_tokenizer"], "pre-tokenizer");
    this.decoders = decoderTypes(decoder);
    this.#normalize = limited(makeNormalizer(normalizer), hasUnknownPattern(normalizer), sizeOf);
    const preTokenize = makePreTokenizer(preTokenizer);
    // Under a time limit a text is cut whole: what is cut bit by bit would start the clock at every bit.
    this.#preTokenize = hasUnknownPattern(preTokenizer)
      ? limited((piece) => Array.from(preTokenize(piece)), true, sizeOf)
      : preTokenize;
    this.#postProcess = makePostProcessor(partOrNull(json["post_processor"], "post-processor"));
    this.#decode = limited(makeDecoder(decoder), hasUnknownPattern(decoder), lengthOf);
    const list: unknown = json["added_tokens"] ?? [];
    const added = readAddedTokens(Array.isArray(list) ? list : [], this.#model.idOf, this.#model.size);
    this.addedTokens = added;
    this.#addedIds = new Map(added.map(({ content, id }) => [content, id]));
    this.#addedTexts = new Map(added.map(({ content, id }) => [id, content]));
    this.#plain = new AddedTokenFinder(
      added.filter((token) => !token.normalized).map((token) => [token.content, token]),
    );
    this.#normalized = new AddedTokenFinder(
      added.filter((token) => token.normalized).map((token) => [this.#shown(token), token]),
    );
    this.#shownTexts = new Map(added.map((token) => [token.id, this.#shown(token)]));
    const strange = this.#postProcess([]).find((id) => this.token(id) === undefined);
    if (strange !== undefined)
      throw new UnsupportedPart(`the post-processor sets the token ${strange}, which no vocabulary has`);
  }

  /** Ids of `text`, with the post-processor's special tokens or without. */
  encode(text: string, addSpecialTokens: boolean): number[] {
    return toEnd(this.steps(text, addSpecialTokens));
  }

  /** The same in steps: yields, every now and then, the fewest tokens that the text has. */
  *steps(text: string, addSpecialTokens: boolean): Generator<number, number[]> {
    const ids: number[] = [];
    for (const section of this.#plain.split(text)) {
      if (section.token !== null) ids.push(section.token.id);
      else yield* this.#plainSteps(section.text, section.at === 0, ids);
    }
    return addSpecialTokens ? this.#postProcess(ids) : ids;
  }

  /** Adds the ids of a text without added tokens (but for normalised ones) to `ids`. */
  *#plainSteps(text: string, isFirst: boolean, ids: number[]): Generator<number, void> {
    const normalized = this.#normalize({ text, isFirst });
    let read = 0;
    for (const section of this.#normalized.split(normalized.text)) {
      if (section.token !== null) {
        ids.push(section.token.id);
        continue;
      }
      if (section.text === "") continue;
      const isFirstSection = normalized.isFirst && section.at === 0;
      for (const piece of this.#preTokenize({ text: section.text, isFirst: isFirstSection })) {
        yield* this.#pieceSteps(piece.text, ids);
        read += piece.text.length;
        if (read < charactersAStep) continue;
        read = 0;
        yield ids.length;
      }
    }
  }

  *#pieceSteps(piece: string, ids: number[]): Generator<number, void> {
    const steps = piece.length > charactersAStep ? this.#model.steps?.(piece) : undefined;
    const written = steps === undefined ? this.#model.encode(piece) : yield* countedFrom(ids.length, steps);
    // by index: an iterator would leave an object for each id
    for (let i = 0; i < written.length; i++) ids.push(written[i] as number);
  }

  /** Text of `ids`; those outside the vocabulary are left out. */
  decode(ids: readonly number[]): string {
    const tokens = ids
      .map((id) => this.#shownTexts.get(id) ?? this.#model.tokenOf(id))
      .filter((token) => token !== undefined);
    return tokens.length === 0 ? "" : this.#decode(tokens).join("");
  }

  /** An added token as it appears in normalised text, which is also how it is decoded. */
  #shown({ content, normalized }: AddedTokenEntry): string {
    return normalized ? this.#normalize({ text: content, isFirst: false }).text : content;
  }

  /** Id of a token spelled as in the vocabulary. */
  id(token: string): number | undefined {
    return this.#addedIds.get(token) ?? this.#model.idOf(token);
  }

  /** The token `id` as spelled in the vocabulary. */
  token(id: number): string | undefined {
    return this.#addedTexts.get(id) ?? this.#model.tokenOf(id);
  }

  /** The largest id. */
  get largestId(): number {
    let largest = -1;
    for (const id of this.#model.ids) largest = Math.max(largest, id);
    for (const id of this.#addedTexts.keys()) largest = Math.max(largest, id);
    return largest;
  }
}
