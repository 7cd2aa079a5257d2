/** Pre-tokenizers of tokenizer.json, as the Rust tokenizers apply them: where a text is cut before the model sees it. */
import { byteSymbols } from "../token-bytes.ts";
import type { JsonObject } from "../tokenizer-files.ts";
import {
  countMember,
  flagMember,
  made,
  markOf,
  matchesOf,
  type Piece,
  partsOf,
  patternOf,
  punctuation,
  space,
  textMember,
  textPattern,
  UnsupportedPart,
} from "./tokenizer-parts.ts";

/** Cuts a piece, bit by bit: who needs the beginning alone does not wait for the rest. */
export type PreTokenize = (piece: Piece) => Iterable<Piece>;

/** The function of a pre-tokenizer. @throws UnsupportedPart for an unknown kind */
export function makePreTokenizer(part: JsonObject | null): PreTokenize {
  if (part === null) return (piece) => [piece];
  return made(makers, part, "pre-tokenizer");
}

const behaviors = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"] as const;
type Behavior = (typeof behaviors)[number];

function behaviorOf(part: JsonObject, usual: Behavior): Behavior {
  const name = textMember(part, "behavior", usual);
  const known = behaviors.find((behavior) => behavior === name);
  if (known === undefined)
    throw new UnsupportedPart(`the behavior ${name} of ${String(part["type"])} is unknown`);
  return known;
}

interface Part {
  text: string;
  isMatch: boolean;
  at: number;
}

/** All of a text, in matches of `pattern` and what is between them. */
function* partsAt(text: string, pattern: RegExp, isInverted: boolean): Generator<Part, void, undefined> {
  let from = 0;
  for (const match of matchesOf(text, pattern)) {
    const end = match.index + match[0].length;
    if (match.index > from) yield { text: text.slice(from, match.index), isMatch: isInverted, at: from };
    yield { text: match[0], isMatch: !isInverted, at: match.index };
    from = end;
  }
  if (from < text.length) yield { text: text.slice(from), isMatch: isInverted, at: from };
}

/** Whether a part goes to the one before it, by what the last part added to that one was. */
const joins: Readonly<Record<Behavior, ((part: Part, last: Part) => boolean) | null>> = {
  Isolated: null,
  Removed: null,
  Contiguous: (part, last) => part.isMatch === last.isMatch,
  MergedWithPrevious: (part, last) => part.isMatch && !last.isMatch,
  MergedWithNext: (part, last) => !part.isMatch && last.isMatch,
};

/** Joins neighbours, or drops matches, as the behavior says. */
function* joined(parts: Iterable<Part>, behavior: Behavior): Generator<Part, void, undefined> {
  const fits = joins[behavior];
  let open: Part | null = null;
  let last: Part | null = null;
  for (const part of parts) {
    if (behavior === "Removed" && part.isMatch) continue;
    if (open !== null && last !== null && fits?.(part, last) === true) open.text += part.text;
    else {
      if (open !== null) yield open;
      open = { ...part };
    }
    last = part;
  }
  if (open !== null) yield open;
}

function cut(pattern: RegExp | null, behavior: Behavior, isInverted = false): PreTokenize {
  if (pattern === null) return (piece) => [piece];
  return function* ({ text, isFirst }) {
    for (const part of joined(partsAt(text, pattern, isInverted), behavior)) {
      if (part.text !== "") yield { text: part.text, isFirst: isFirst && part.at === 0 };
    }
  };
}

function sequence(steps: readonly PreTokenize[]): PreTokenize {
  return (piece) => steps.reduce<Iterable<Piece>>((pieces, step) => each(pieces, step), [piece]);
}

function* each(pieces: Iterable<Piece>, step: PreTokenize): Generator<Piece, void, undefined> {
  for (const piece of pieces) yield* step(piece);
}

const makers: Readonly<Record<string, (part: JsonObject) => PreTokenize>> = {
  Sequence: (part) => sequence(partsOf(part, "pretokenizers").map(makePreTokenizer)),
  ByteLevel: byteLevel,
  Whitespace: () => {
    const word = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}";
    return cut(new RegExp(`[${word}]+|[^${word}\\p{White_Space}]+`, "gu"), "Removed", true);
  },
  WhitespaceSplit: () => cut(space, "Removed"),
  BertPreTokenizer: () => sequence([cut(space, "Removed"), cut(punctuation, "Isolated")]),
  Punctuation: (part) => cut(punctuation, behaviorOf(part, "Isolated")),
  Digits: (part) => cut(/\p{N}/gu, flagMember(part, "individual_digits", false) ? "Isolated" : "Contiguous"),
  Split: (part) => cut(patternOf(part), behaviorOf(part, "Isolated"), flagMember(part, "invert", false)),
  Metaspace: metaspace,
  FixedLength: fixedLength,
};

function metaspace(part: JsonObject): PreTokenize {
  const mark = markOf(part);
  const isNever = part["add_prefix_space"] === false;
  const scheme = isNever ? "never" : textMember(part, "prepend_scheme", "always");
  const split = flagMember(part, "split", true) ? cut(textPattern(mark), "MergedWithNext") : null;
  return ({ text, isFirst }) => {
    const marked = text.replaceAll(" ", mark);
    const begins = scheme === "always" || (scheme === "first" && isFirst);
    const piece = { text: begins && !marked.startsWith(mark) ? mark + marked : marked, isFirst };
    return split === null ? [piece] : split(piece);
  };
}

function fixedLength(part: JsonObject): PreTokenize {
  const length = countMember(part, "length", 5);
  if (length === 0 || length > 10_000)
    throw new UnsupportedPart(`FixedLength has the length ${length}; it is from 1 to 10000`);
  return cut(new RegExp(`[^]{1,${length}}`, "gu"), "Isolated");
}

// White_Space rather than \s: JavaScript counts U+FEFF as a space and leaves U+0085 out.
const byteLevelWords =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;

function byteLevel(part: JsonObject): PreTokenize {
  const addsSpace = flagMember(part, "add_prefix_space", true);
  const words = flagMember(part, "use_regex", true) ? cut(byteLevelWords, "Isolated") : cut(null, "Isolated");
  return function* ({ text, isFirst }) {
    const spaced = addsSpace && !text.startsWith(" ") ? ` ${text}` : text;
    for (const piece of words({ text: spaced, isFirst })) yield { ...piece, text: symbolsOf(piece.text) };
  };
}

const symbolsOfBytes = byteSymbols();
const symbolCodes = Uint16Array.from(symbolsOfBytes, (symbol) => symbol.charCodeAt(0));
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-16le");

/** A text as the symbols of its bytes. Most words are their own: visible ASCII, behind a space or not. */
function symbolsOf(text: string): string {
  if (/^ ?[!-~]*$/.test(text)) return text.startsWith(" ") ? `${symbolsOfBytes[0x20]}${text.slice(1)}` : text;
  const bytes = encoder.encode(text);
  // joined symbol by symbol, a string of a megabyte would be a chain of a million
  const symbols = new Uint16Array(bytes.length);
  for (let i = 0; i < bytes.length; i++) symbols[i] = symbolCodes[bytes[i] as number] as number;
  return decoder.decode(symbols);
}
