/** The Unigram model, as the Rust tokenizers run it: of all ways to write a piece with tokens the most probable. */
import { idsOfBytes } from "../byte-fallback.ts";
import type { JsonObject } from "../tokenizer-files.ts";
import type { Model } from "./library.ts";
import { toEnd } from "./steps.ts";
import { noUnknownToken, UnsupportedPart } from "./tokenizer-parts.ts";

/** How much less probable an unknown character is than the least probable token, as a logarithm. */
const unknownPenalty = 10;

interface Node {
  next: Map<string, Node>;
  /** Id of the token that ends here, or null. */
  id: number | null;
}

/** The best way to write a text up to some place: its last token and where that begins. */
interface Best {
  score: number;
  start: number;
  id: number;
}

interface Vocabulary {
  root: Node;
  scores: readonly number[];
  unknownId: number | null;
  unknownScore: number;
}

/** The model in `part`. @throws UnsupportedPart when its vocabulary is no list of tokens and scores */
export function makeUnigram(part: JsonObject): Model {
  const entries = part["vocab"];
  const isPair = (entry: unknown): entry is [string, number] =>
    Array.isArray(entry) && typeof entry[0] === "string" && typeof entry[1] === "number";
  if (!Array.isArray(entries) || !entries.every(isPair)) {
    throw new UnsupportedPart("the vocabulary of a Unigram model is no list of tokens and scores");
  }
  const tokens = entries.map(([token]) => token);
  const scores = entries.map(([, score]) => score);
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const unknownId = typeof part["unk_id"] === "number" ? part["unk_id"] : null;
  if (unknownId !== null && !(unknownId in tokens))
    throw new UnsupportedPart(`the unk_id ${unknownId} of a Unigram model is no token`);
  const least = scores.reduce((a, b) => Math.min(a, b), Infinity);
  const vocabulary = { root: trieOf(ids), scores, unknownId, unknownScore: least - unknownPenalty };
  const byteIds = part["byte_fallback"] === true ? idsOfBytes(ids) : null;
  const unknown = (token: string): number[] =>
    bytesOf(token, byteIds) ?? (unknownId === null ? [] : [unknownId]);
  function* steps(piece: string): Generator<number, number[]> {
    const pieces = yield* segment(piece, vocabulary);
    return pieces.flatMap((token) => ids.get(token) ?? unknown(token));
  }
  return {
    encode: (piece) => toEnd(steps(piece)),
    steps,
    idOf: (token) => ids.get(token),
    tokenOf: (id) => tokens[id],
    size: tokens.length,
    ids: tokens.keys(),
  };
}

function trieOf(ids: ReadonlyMap<string, number>): Node {
  const root: Node = { next: new Map(), id: null };
  for (const [token, id] of ids) {
    let node = root;
    for (const character of token) {
      const child: Node = node.next.get(character) ?? { next: new Map(), id: null };
      node.next.set(character, child);
      node = child;
    }
    node.id = id;
  }
  return root;
}

/** Ids of the bytes of a token; null where they are not all in the vocabulary, or not asked for. */
function bytesOf(token: string, byteIds: readonly (number | undefined)[] | null): number[] | null {
  const bytes = byteIds === null ? [] : Array.from(new TextEncoder().encode(token), (byte) => byteIds[byte]);
  const known = bytes.filter((id) => id !== undefined);
  return known.length > 0 && known.length === bytes.length ? known : null;
}

/** The tokens of a piece; unknown characters that follow each other are one. */
function* segment(piece: string, vocabulary: Vocabulary): Generator<number, string[]> {
  const characters = Array.from(piece);
  const best = yield* bestPaths(characters, vocabulary);
  /** From the last token to the first. */
  const tokens: string[] = [];
  let wasUnknown = false;
  for (let end = characters.length; end > 0; ) {
    const { start = 0, id } = best[end] ?? {};
    const token = characters.slice(start, end).join("");
    const isUnknown = id === vocabulary.unknownId;
    if (isUnknown && wasUnknown) tokens.push(token + (tokens.pop() ?? ""));
    else tokens.push(token);
    wasUnknown = isUnknown;
    end = start;
  }
  return tokens.reverse();
}

/** Characters between two steps of a long piece. */
const charactersAStep = 4096;

function* bestPaths(
  characters: readonly string[],
  vocabulary: Vocabulary,
): Generator<number, (Best | undefined)[]> {
  const best: (Best | undefined)[] = [];
  for (let start = 0; start < characters.length; start++) {
    const before = best[start]?.score ?? 0;
    for (const { end, id } of tokensAt(characters, start, vocabulary)) {
      const isUnknown = id === null;
      const score = before + (isUnknown ? vocabulary.unknownScore : (vocabulary.scores[id] ?? 0));
      const known = best[end];
      if (known === undefined || score > known.score)
        best[end] = { score, start, id: id ?? unknownOf(vocabulary) };
    }
    // unknown characters may all become one token
    if (start % charactersAStep === charactersAStep - 1) yield 1;
  }
  return best;
}

/** The library fails when an unknown character is the best so far, whether or not bytes stand for it. */
function unknownOf({ unknownId }: Vocabulary): number {
  if (unknownId === null) throw noUnknownToken();
  return unknownId;
}

/** The tokens that begin at `start`, by length; id null: a character that is no token is taken as unknown. */
function* tokensAt(
  characters: readonly string[],
  start: number,
  { root }: Vocabulary,
): Generator<{ end: number; id: number | null }, void, undefined> {
  let node: Node | undefined = root;
  for (let end = start; end < characters.length; end++) {
    node = node.next.get(characters[end] ?? "");
    if (node === undefined) break;
    if (node.id !== null) yield { end: end + 1, id: node.id };
  }
  if ((root.next.get(characters[start] ?? "")?.id ?? null) === null) yield { end: start + 1, id: null };
}
