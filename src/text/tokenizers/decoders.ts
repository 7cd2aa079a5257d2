/** Decoders of tokenizer.json, as the Rust tokenizers apply them: from the texts of tokens to a text. */
import { joinByteTokens } from "../byte-fallback.ts";
import { pushBytes } from "../token-bytes.ts";
import type { JsonObject } from "../tokenizer-files.ts";
import { inOrder, replaced } from "./limits.ts";
import { countMember, flagMember, made, markOf, partsOf, patternOf, textMember } from "./tokenizer-parts.ts";

/** Changes the texts of tokens; joined they are the text. */
export type Decode = (tokens: readonly string[]) => string[];

/** The function of a decoder. @throws UnsupportedPart for an unknown kind */
export function makeDecoder(part: JsonObject | null): Decode {
  // Without a decoder tokens are set side by side with spaces.
  if (part === null) return (tokens) => [tokens.join(" ")];
  const steps = stepsOf(part);
  return (tokens) => inOrder([...tokens], steps, lengthOf);
}

/** Characters of all tokens. */
export function lengthOf(tokens: readonly string[]): number {
  return tokens.reduce((sum, token) => sum + token.length, 0);
}

/** The steps of a part, those of sequences inside sequences in one list. */
function stepsOf(part: JsonObject): Decode[] {
  if (part["type"] === "Sequence") return partsOf(part, "decoders").flatMap(stepsOf);
  return [made(makers, part, "decoder")];
}

/** The types of a decoder and of all parts it has. */
export function decoderTypes(part: JsonObject | null): ReadonlySet<string> {
  const types = (each: JsonObject): string[] => [
    String(each["type"]),
    ...(each["type"] === "Sequence" ? partsOf(each, "decoders").flatMap(types) : []),
  ];
  return new Set(part === null ? [] : types(part));
}

const makers: Readonly<Record<string, (part: JsonObject) => Decode>> = {
  ByteLevel: () => byteLevel,
  ByteFallback: () => joinByteTokens,
  Fuse: () => (tokens) => [tokens.join("")],
  Metaspace: metaspace,
  Replace: (part) => {
    const pattern = patternOf(part);
    const content = textMember(part, "content", "");
    return (tokens) => tokens.map((token) => replaced(token, pattern, content));
  },
  Strip: strip,
  BPEDecoder: (part) => {
    const suffix = textMember(part, "suffix", "</w>");
    return (tokens) => tokens.map((token, i) => token.replaceAll(suffix, i === tokens.length - 1 ? "" : " "));
  },
  WordPiece: wordPiece,
};

const lossy = new TextDecoder("utf-8", { ignoreBOM: true });
const encoder = new TextEncoder();

/** All tokens as one run of bytes. A token with other characters than the stand-ins of bytes is taken as it is. */
function byteLevel(tokens: readonly string[]): string[] {
  const bytes: number[] = [];
  for (const token of tokens) if (!pushBytes(token, bytes)) bytes.push(...encoder.encode(token));
  return [lossy.decode(Uint8Array.from(bytes))];
}

/** Marks are spaces, but in the first token they are nothing. */
function metaspace(part: JsonObject): Decode {
  const mark = markOf(part);
  const keepsFirst = part["add_prefix_space"] === false || part["prepend_scheme"] === "never";
  return (tokens) => tokens.map((token, i) => token.replaceAll(mark, i === 0 && !keepsFirst ? "" : " "));
}

function strip(part: JsonObject): Decode {
  const content = textMember(part, "content", " ");
  const [start, stop] = [countMember(part, "start", 0), countMember(part, "stop", 0)];
  return (tokens) =>
    tokens.map((token) => {
      const characters = Array.from(token);
      let from = 0;
      while (from < start && characters[from] === content) from++;
      let to = characters.length;
      while (characters.length - to < stop && characters[to - 1] === content) to--;
      return characters.slice(from, Math.max(from, to)).join("");
    });
}

const cleanUps = [
  [" .", "."],
  [" ?", "?"],
  [" !", "!"],
  [" ,", ","],
  [" ' ", "'"],
  [" n't", "n't"],
  [" 'm", "'m"],
  [" do not", " don't"],
  [" 's", "'s"],
  [" 've", "'ve"],
  [" 're", "'re"],
] as const;

function wordPiece(part: JsonObject): Decode {
  const prefix = textMember(part, "prefix", "##");
  const cleansUp = flagMember(part, "cleanup", true);
  const clean = (text: string): string =>
    cleanUps.reduce((changed, [from, to]) => changed.replaceAll(from, to), text);
  return (tokens) =>
    tokens.map((token, i) => {
      const joins = token.startsWith(prefix);
      const text = i === 0 ? token : joins ? token.slice(prefix.length) : ` ${token}`;
      return cleansUp ? clean(text) : text;
    });
}
