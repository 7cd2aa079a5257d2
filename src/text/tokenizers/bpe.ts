/**
 * The BPE model, as the Rust tokenizers run it: the characters of a piece, joined pair by pair, the earliest merge first.
 *
 * A piece of n characters takes n log n steps, whatever it says: a megabyte of line feeds or of Chinese is one piece for
 * many tokenizers. Long pieces are written in steps, between which the caller may do something else.
 */
import { isRecord } from "../../base/is-record.ts";
import { idsOfBytes } from "../byte-fallback.ts";
import type { JsonObject } from "../tokenizer-files.ts";
import type { Model } from "./library.ts";
import { ownText, toEnd } from "./steps.ts";
import { flagMember, noUnknownToken, UnsupportedPart } from "./tokenizer-parts.ts";

/** Characters read, or merges made, between two steps of a long piece. */
const workAStep = 4096;
/** Words of at most so many characters are kept, with their ids; so many of them. */
const longestKept = 64;
const mostKept = 20_000;
/** No merge in the queue, no neighbour. */
const none = -1;

interface Vocabulary {
  ids: ReadonlyMap<string, number>;
  tokens: (string | undefined)[];
  /** What is between the ids of a pair, so that a pair is one number. */
  width: number;
  /** Rank of a pair's merge; the earliest is 0. */
  ranks: ReadonlyMap<number, number>;
  /** The token that the merge of each rank makes. */
  merged: Int32Array;
}

/** How characters that are no tokens are written. */
interface Unknowns {
  /** Ids of the 256 bytes; null: characters do not fall back to bytes. */
  bytes: readonly (number | undefined)[] | null;
  /** null: they are left out; undefined: the vocabulary lacks the token for them. */
  id: number | null | undefined;
  /** Whether those that follow each other are one. */
  areFused: boolean;
}

/** The model in `part`. @throws UnsupportedPart when vocabulary or merges are none, or do not belong together */
export function makeBpe(part: JsonObject): Model {
  const vocabulary = readVocabulary(part);
  const { ids, tokens } = vocabulary;
  const unknowns = readUnknowns(part, ids);
  const takesWhole = flagMember(part, "ignore_merges", false);
  const kept = new Map<string, number[]>();
  const longest = longestToken(ids);
  function* start(piece: string): Generator<number, number[]> {
    const symbols = yield* symbolsOf(piece, ids, unknowns);
    return yield* merge(symbols, vocabulary, longest);
  }
  return {
    encode(piece) {
      const whole = takesWhole ? ids.get(piece) : undefined;
      if (whole !== undefined) return [whole];
      if (piece.length > longestKept) return toEnd(start(piece));
      const known = kept.get(piece);
      if (known !== undefined) return known;
      const written = toEnd(start(piece));
      if (kept.size >= mostKept) kept.clear();
      kept.set(ownText(piece), written);
      return written;
    },
    *steps(piece) {
      const whole = takesWhole ? ids.get(piece) : undefined;
      return whole === undefined ? yield* start(piece) : [whole];
    },
    idOf: (token) => ids.get(token),
    tokenOf: (id) => tokens[id],
    size: ids.size,
    ids: ids.values(),
  };
}

function readVocabulary(part: JsonObject): Vocabulary {
  const entries = isRecord(part["vocab"]) ? Object.entries(part["vocab"]) : [];
  const isId = (id: unknown): id is number => typeof id === "number" && Number.isSafeInteger(id) && id >= 0;
  const wrong = entries.find(([, id]) => !isId(id));
  if (wrong !== undefined)
    throw new UnsupportedPart(
      `the token ${JSON.stringify(wrong[0])} of the BPE model has no whole number as id`,
    );
  const ids = new Map(entries as [string, number][]);
  const tokens: (string | undefined)[] = [];
  let width = 1;
  for (const [token, id] of ids) {
    tokens[id] = token;
    width = Math.max(width, id + 1);
  }
  const list = Array.isArray(part["merges"]) ? part["merges"] : [];
  const ranks = new Map<number, number>();
  const merged = new Int32Array(list.length);
  for (const [rank, pair] of list.entries()) {
    const [left, right] = pairOf(pair, rank);
    const made = idIn(ids, left + right, rank);
    ranks.set(idIn(ids, left, rank) * width + idIn(ids, right, rank), rank);
    merged[rank] = made;
  }
  return { ids, tokens, width, ranks, merged };
}

/** The two texts of a merge: a list of them, or, in old files, one text with a space between them. */
function pairOf(pair: unknown, rank: number): [string, string] {
  const texts = typeof pair === "string" ? pair.split(" ") : pair;
  if (Array.isArray(texts) && texts.length === 2 && texts.every((text) => typeof text === "string"))
    return texts as [string, string];
  throw new UnsupportedPart(`merge ${rank + 1} of the BPE model is no pair of texts`);
}

function idIn(ids: ReadonlyMap<string, number>, token: string, rank: number): number {
  const id = ids.get(token);
  if (id !== undefined) return id;
  throw new UnsupportedPart(
    `merge ${rank + 1} of the BPE model needs the token ${JSON.stringify(token)}, which its vocabulary lacks`,
  );
}

function readUnknowns(part: JsonObject, ids: ReadonlyMap<string, number>): Unknowns {
  const name = part["unk_token"];
  return {
    bytes: flagMember(part, "byte_fallback", false) ? idsOfBytes(ids) : null,
    id: typeof name === "string" ? ids.get(name) : null,
    areFused: flagMember(part, "fuse_unk", false),
  };
}

function longestToken(ids: ReadonlyMap<string, number>): number {
  let longest = 1;
  for (const token of ids.keys()) longest = Math.max(longest, token.length);
  return longest;
}

/** Ids of the characters of a piece. */
function* symbolsOf(
  piece: string,
  ids: ReadonlyMap<string, number>,
  unknowns: Unknowns,
): Generator<number, Int32Array> {
  // a character of one unit has at most three bytes, one of two units four
  const symbols = new Int32Array(unknowns.bytes === null ? piece.length : piece.length * 3);
  let count = 0;
  let read = 0;
  /** The unknown token of characters before: the library writes it before the next known one, behind bytes. */
  let pending: number | null = null;
  for (let at = 0, next = 0; at < piece.length; at = next) {
    if (++read % workAStep === 0) yield 1;
    next = at + ((piece.codePointAt(at) as number) > 0xff_ff ? 2 : 1);
    const character = piece.slice(at, next);
    const id = ids.get(character);
    if (id !== undefined) {
      if (pending !== null) symbols[count++] = pending;
      pending = null;
      symbols[count++] = id;
      continue;
    }
    const unknown = unknownSymbols(character, unknowns, pending);
    for (const each of unknown.symbols) symbols[count++] = each;
    pending = unknown.pending;
  }
  if (pending !== null) symbols[count++] = pending;
  return symbols.subarray(0, count);
}

/**
 * What an unknown character adds, and the unknown token that is pending behind it; null: none.
 *
 * @throws UnsupportedPart when the vocabulary lacks the token for it
 */
function unknownSymbols(
  character: string,
  unknowns: Unknowns,
  pending: number | null,
): { symbols: readonly number[]; pending: number | null } {
  const bytes = byteIds(character, unknowns);
  if (bytes !== null) return { symbols: bytes, pending };
  if (unknowns.id === undefined) throw noUnknownToken();
  return { symbols: pending === null || unknowns.areFused ? [] : [pending], pending: unknowns.id };
}

const encoder = new TextEncoder();

/** The ids of a character's bytes; null where they are not all in the vocabulary, or not asked for. */
function byteIds(character: string, { bytes }: Unknowns): number[] | null {
  if (bytes === null) return null;
  const known: number[] = [];
  for (const byte of encoder.encode(character)) {
    const id = bytes[byte];
    if (id === undefined) return null;
    known.push(id);
  }
  return known;
}

/** Merges the symbols, which it changes. Yields the fewest tokens that they will make. */
function* merge(symbols: Int32Array, vocabulary: Vocabulary, longest: number): Generator<number, number[]> {
  const word = new Word(symbols, vocabulary);
  const fewest = Math.ceil(symbols.length / longest);
  for (let place = 0; place + 1 < symbols.length; place++) {
    word.offer(place);
    if (place % workAStep === workAStep - 1) yield fewest;
  }
  for (let made = 1; word.mergeNext(); made++) if (made % workAStep === 0) yield fewest;
  return word.left();
}

const leastQueue = 1024;

/** Symbols in a chain, and the merges that are possible in a queue: the earliest first, of several the leftmost. */
class Word {
  readonly #symbols: Int32Array;
  readonly #previous: Int32Array;
  readonly #next: Int32Array;
  readonly #vocabulary: Vocabulary;
  /** A binary heap of rank × places + place, which grows: most texts have far fewer merges at a time than symbols. */
  #queue: Float64Array;
  readonly #places: number;
  #queued = 0;

  constructor(symbols: Int32Array, vocabulary: Vocabulary) {
    const { length } = symbols;
    this.#symbols = symbols;
    this.#vocabulary = vocabulary;
    this.#places = length + 1;
    this.#previous = new Int32Array(length);
    this.#next = new Int32Array(length);
    this.#queue = new Float64Array(Math.min(length, leastQueue));
    for (let i = 0; i < length; i++) {
      this.#previous[i] = i - 1;
      this.#next[i] = i + 1 < length ? i + 1 : none;
    }
  }

  /** Queues the merge of the symbol at `place` and the one after it, if there is one. */
  offer(place: number): void {
    const rank = this.#rankAt(place);
    if (rank === none) return;
    const entry = rank * this.#places + place;
    if (this.#queued === this.#queue.length) this.#grow();
    let at = this.#queued++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = this.#queue[parent] as number;
      if (above <= entry) break;
      this.#queue[at] = above;
      at = parent;
    }
    this.#queue[at] = entry;
  }

  #grow(): void {
    const longer = new Float64Array(2 * this.#queue.length);
    longer.set(this.#queue);
    this.#queue = longer;
  }

  /** Merges the next pair; false when there is none left. */
  mergeNext(): boolean {
    while (this.#queued > 0) {
      const entry = this.#take();
      const rank = Math.floor(entry / this.#places);
      const place = entry - rank * this.#places;
      const right = this.#next[place] as number;
      // an entry is out of date when one of its symbols was merged meanwhile
      if (right === none || this.#rankAt(place) !== rank) continue;
      this.#join(place, right, rank);
      return true;
    }
    return false;
  }

  /** The symbols in order, when nothing is left to merge. */
  left(): number[] {
    let count = 0;
    for (const symbol of this.#symbols) if (symbol !== none) this.#symbols[count++] = symbol;
    const ids: number[] = Array(count);
    for (let i = 0; i < count; i++) ids[i] = this.#symbols[i] as number;
    return ids;
  }

  #join(place: number, right: number, rank: number): void {
    const after = this.#next[right] as number;
    this.#symbols[place] = this.#vocabulary.merged[rank] as number;
    this.#symbols[right] = none;
    this.#next[place] = after;
    this.#next[right] = none;
    if (after !== none) {
      this.#previous[after] = place;
      this.offer(place);
    }
    const before = this.#previous[place] as number;
    if (before !== none) this.offer(before);
  }

  /** Rank of the merge of the symbol at `place` and the one after it; -1: there is none. */
  #rankAt(place: number): number {
    const left = this.#symbols[place] as number;
    const next = this.#next[place] as number;
    if (left === none || next === none) return none;
    const { ranks, width } = this.#vocabulary;
    return ranks.get(left * width + (this.#symbols[next] as number)) ?? none;
  }

  #take(): number {
    const queue = this.#queue;
    const first = queue[0] as number;
    this.#queued--;
    const last = queue[this.#queued] as number;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= this.#queued) break;
      const right = child + 1;
      if (right < this.#queued && (queue[right] as number) < (queue[child] as number)) child = right;
      if ((queue[child] as number) >= last) break;
      queue[at] = queue[child] as number;
      at = child;
    }
    queue[at] = last;
    return first;
  }
}
