/** An answer's text as its tokens come: whole characters only, and ended by stop texts wherever token boundaries fall. */
import type { Tokenizer } from "../text/tokenizer.ts";

/** What the decoding of text needs of a tokenizer. */
export type TokenDecoder = Pick<Tokenizer, "decode">;

/** What a token added to the text. */
export interface TextStep {
  /** Text that is now certain; empty while a character or a possible stop text is incomplete. */
  text: string;
  /** The stop text that ended the answer; it and what followed it are dropped. */
  stop: string | null;
}

/** Tokens after which bytes that make no character are given up waiting for. */
const longestWait = 32;

/**
 * The text of one answer. Joined, its steps and its rest are the tokens' text, cut before the first stop text.
 *
 * A token's text may depend on its neighbour (a space in front, bytes of one character), so a token is read together with
 * those before it, back to the last place where a whole character ended.
 */
export class AnswerText {
  readonly #decoder: TokenDecoder;
  readonly #stops: readonly string[];
  readonly #ids: number[] = [];
  /** Tokens from here on are decoded together. */
  #context = 0;
  /** Tokens before this one have given their text. */
  #told = 0;
  /** Text that may be the beginning of a stop text. */
  #held = "";

  /** @param stops - texts that end the answer, none of them empty */
  constructor(decoder: TokenDecoder, stops: readonly string[]) {
    this.#decoder = decoder;
    this.#stops = stops;
  }

  /** Adds a token. */
  push(id: number): TextStep {
    this.#ids.push(id);
    return this.#cut(this.#newText(false));
  }

  /** What is still held back, at the answer's end; it may complete a stop text. */
  end(): TextStep {
    const { text, stop } = this.#cut(this.#newText(true));
    const rest = stop === null ? this.#held : "";
    this.#held = "";
    return { text: text + rest, stop };
  }

  #newText(isLast: boolean): string {
    const before = this.#text(this.#context, this.#told);
    const now = this.#text(this.#context, this.#ids.length);
    const waits = now.endsWith("\uFFFD") && this.#ids.length - this.#told < longestWait;
    if (!isLast && (waits || now.length <= before.length)) return "";
    this.#context = this.#told;
    this.#told = this.#ids.length;
    return now.slice(before.length);
  }

  #text(start: number, end: number): string {
    return this.#decoder.decode(this.#ids.slice(start, end), { skipSpecialTokens: true });
  }

  #cut(grown: string): TextStep {
    const text = this.#held + grown;
    let first = text.length;
    let found: string | null = null;
    for (const stop of this.#stops) {
      const at = text.indexOf(stop);
      if (at < 0 || at >= first) continue;
      first = at;
      found = stop;
    }
    const kept = found === null ? this.#beginningOfStop(text) : 0;
    this.#held = text.slice(text.length - kept);
    return { text: text.slice(0, found === null ? text.length - kept : first), stop: found };
  }

  /** Length of the longest end of `text` with which a stop text begins. */
  #beginningOfStop(text: string): number {
    let longest = 0;
    for (const stop of this.#stops) {
      for (let length = Math.min(stop.length - 1, text.length); length > longest; length--) {
        if (text.endsWith(stop.slice(0, length))) longest = length;
      }
    }
    return longest;
  }
}
