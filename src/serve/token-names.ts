/** Tokens as log-probs show them: the text that each adds, or its bytes where these are a part of a character only. */
import type { Tokenizer } from "../text/tokenizer.ts";

/** A token's name and the bytes it stands for. */
export interface TokenName {
  text: string;
  bytes: number[];
}

/** What naming tokens needs of a tokenizer. */
export type TokenNamer = Pick<Tokenizer, "decode" | "tokenBytes" | "isSpecial">;

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Names of a tokenizer's tokens, so that the names of a text's tokens joined are the text. Bytes that make no character are
 * `bytes:\xe2\x82`, as in OpenAI's API, and ids that the tokenizer does not know `token_id:7`, as in vLLM.
 */
export class TokenNames {
  readonly #tokenizer: TokenNamer;
  readonly #inside: Map<number, TokenName> = new Map();

  constructor(tokenizer: TokenNamer) {
    this.#tokenizer = tokenizer;
  }

  /** @param isFirst - whether no other text is before the token: SentencePiece decoders leave out a space there */
  of(id: number, isFirst: boolean): TokenName {
    const known = this.#inside.get(id) ?? this.#insideText(id);
    this.#inside.set(id, known);
    if (!isFirst || known.text.startsWith(bytesPrefix) || this.#tokenizer.isSpecial(id)) return known;
    const text = this.#tokenizer.decode([id], { skipSpecialTokens: false });
    return known.bytes.length === 0 ? known : { text, bytes: [...new TextEncoder().encode(text)] };
  }

  #insideText(id: number): TokenName {
    const bytes = this.#tokenizer.tokenBytes(id);
    if (bytes.length === 0) return { text: idName(id), bytes: [] };
    return { text: textOf(bytes), bytes: [...bytes] };
  }
}

/** The name of a token that has no other, or whose other name another token has taken. */
export function idName(id: number): string {
  return `token_id:${id}`;
}

const bytesPrefix = "bytes:";

function textOf(bytes: Uint8Array): string {
  try {
    return strict.decode(bytes);
  } catch {
    const digits = [...bytes].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`);
    return `${bytesPrefix}${digits.join("")}`;
  }
}
