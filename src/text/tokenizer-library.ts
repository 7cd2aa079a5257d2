/**
 * The @huggingface/tokenizers library behind types of our own, with the places mended where it differs from the Rust
 * tokenizers: white space and digits of byte-level models (Unicode, not JavaScript's \s and \d), and byte fallback.
 */
import { Tokenizer } from "@huggingface/tokenizers";

import { joinByteTokens } from "./byte-fallback.ts";
import type { JsonObject } from "./tokenizer-files.ts";

/** The library's tokenizer. Its own declarations do not resolve under Node's module rules, so they stand here. */
export interface Library {
  encode(text: string, options: { add_special_tokens: boolean }): { ids: number[] };
  decode(
    ids: number[],
    options: { skip_special_tokens: boolean; clean_up_tokenization_spaces: boolean },
  ): string;
  token_to_id(token: string): number | undefined;
  id_to_token(id: number): string | undefined;
  get_added_tokens_decoder(): Map<number, LibraryAddedToken>;
  get_vocab(): Map<string, number>;
  readonly normalizer: unknown;
  readonly pre_tokenizer: PreTokenizer | null;
  readonly decoder: Decoder | null;
}

interface LibraryAddedToken {
  id: number;
  content: string;
  lstrip: boolean;
  rstrip: boolean;
  normalized: boolean;
  special: boolean;
}

interface PreTokenizer {
  config?: { type?: string; individual_digits?: boolean };
  pattern?: unknown;
  /** Only a sequence has parts. */
  tokenizers?: PreTokenizer[];
}

interface Decoder {
  config: { type: string };
  decode_chain(tokens: string[]): string[];
  /** Only a sequence has parts. */
  decoders?: Decoder[];
}

// White_Space rather than \s: JavaScript counts U+FEFF as a space and leaves U+0085 out.
const byteLevelWords =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;

/** The library's tokenizer for the contents of tokenizer.json and tokenizer_config.json. Throws Error on unknown kinds. */
export function openLibrary(tokenizer: JsonObject, config: JsonObject): Library {
  const library: Library = new Tokenizer(tokenizer, config);
  repairPreTokenizer(library.pre_tokenizer);
  repairDecoder(library.decoder);
  return library;
}

function repairPreTokenizer(part: PreTokenizer | null): void {
  if (part === null) return;
  for (const inner of part.tokenizers ?? []) repairPreTokenizer(inner);
  if (part.config?.type === "ByteLevel") part.pattern = byteLevelWords;
  if (part.config?.type === "Digits") {
    part.pattern = part.config.individual_digits === true ? /\P{N}+|\p{N}/gu : /\P{N}+|\p{N}+/gu;
  }
}

function repairDecoder(part: Decoder | null): void {
  if (part === null) return;
  for (const inner of part.decoders ?? []) repairDecoder(inner);
  if (part.config.type === "ByteFallback") part.decode_chain = joinByteTokens;
}

/** The types of all parts of the library's decoder. */
export function decoderTypes({ decoder }: Library): ReadonlySet<string> {
  const types = (part: Decoder): string[] => [part.config.type, ...(part.decoders ?? []).flatMap(types)];
  return new Set(decoder === null ? [] : types(decoder));
}
