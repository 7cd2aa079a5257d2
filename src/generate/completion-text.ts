/** An answer's text as its tokens come: whole characters only, and ended by stop strings wherever token boundaries fall. */
import { at } from "../base/at.ts";
import type { Tokenizer } from "../text/tokenizer.ts";

/** What the decoding of text needs of a tokenizer. */
export type TokenDecoder = Pick<Tokenizer, "decode" | "isSpecial">;

/** What a token added to the text. */
export interface TextStep {
  /** Text that is now certain; empty while a character or a possible stop string is incomplete. */
  text: string;
  /** The stop string that ended the answer; it and what followed it are dropped. */
  stop: string | null;
}

/** A token's step, and where the token stands. */
export interface TokenStep extends TextStep {
  /** Code points of the answer's text before the token. Parts of one character stand at its beginning. */
  place: number;
  /** Whether no other text is before it: there SentencePiece decoders leave out a space. */
  isFirst: boolean;
}

/** What a token is where there is no text. */
export const noStep: TokenStep = { text: "", stop: null, place: 0, isFirst: false };

/** Tokens after which bytes that make no character are given up waiting for. */
const longestWait = 32;
/** Tokens of a prompt that decide how the first token after it reads: bytes of a character, and the one before them. */
const promptTokens = 8;
const longestCharacter = 4;

/**
 * The text of one answer. Joined, its steps and its rest are the tokens' text, cut before the first stop string. Special
 * tokens are no part of the text, but stop strings may name them.
 *
 * A token's text may depend on its neighbour (a space in front, bytes of one character), so a token is read together with
 * those before it, back to the last place where a whole character ended.
 */
export class CompletionText {
  readonly #decoder: TokenDecoder;
  readonly #stops: readonly string[];
  /** Those that are no special tokens. */
  readonly #ids: number[];
  /** Tokens from here on are decoded together. */
  #context = 0;
  /** The text of tokens before this one has been emitted. */
  #emitted = 0;
  /** Code points of the text so far, with what is held back. */
  #length = 0;
  /** Text that may be the beginning of a stop string, special tokens included. */
  readonly #held: HeldText = new HeldText();

  /**
   * @param stops - texts that end the answer, none of them empty
   * @param prompt - tokens whose text the answer continues: their text and the answer's are that of all tokens; none: the
   *   answer's tokens are a separate text
   */
  constructor(decoder: TokenDecoder, stops: readonly string[], prompt: readonly number[] = []) {
    this.#decoder = decoder;
    this.#stops = stops;
    this.#ids = prompt.filter((id) => !decoder.isSpecial(id)).slice(-promptTokens);
    this.#emitted = this.#lastComplete();
  }

  /** Adds a token. */
  push(id: number): TokenStep {
    const place = this.#length;
    if (this.#decoder.isSpecial(id)) return { ...this.#special(id), place, isFirst: false };
    const isFirst = this.#ids.length === 0;
    const waiting = this.#waiting();
    this.#ids.push(id);
    const grown = this.#newText(false);
    // bytes before it that are no character after all are text before it
    const before = grown.startsWith(waiting) ? [...waiting].length : 0;
    return { ...this.#plain(grown), place: place + before, isFirst };
  }

  /**
   * What is still held back, at the answer's end; it may complete a stop string.
   *
   * @param id - the stop token that ended the answer
   */
  end(id: number | null = null): TokenStep {
    const rest = this.#plain(this.#newText(true));
    const own = { place: this.#length, isFirst: this.#ids.length === 0 };
    if (rest.stop !== null) return { ...rest, ...own };
    const last = id !== null && this.#decoder.isSpecial(id) ? this.#special(id) : { text: "", stop: null };
    const held = last.stop === null ? this.#held.take(this.#held.raw.length) : "";
    this.#held.clear();
    return { text: rest.text + last.text + held, stop: last.stop, ...own };
  }

  /** Where the last complete character of the prompt ends. */
  #lastComplete(): number {
    const all = this.#ids.length;
    for (let end = all; end >= Math.max(1, all - longestCharacter); end--) {
      if (!this.#text(0, end).endsWith("\uFFFD")) return end;
    }
    return all;
  }

  /** What tokens that wait for the rest of a character would read as without it. */
  #waiting(): string {
    if (this.#emitted === this.#ids.length) return "";
    const before = this.#text(this.#context, this.#emitted);
    return this.#text(this.#context, this.#ids.length).slice(before.length);
  }

  #newText(isLast: boolean): string {
    const before = this.#text(this.#context, this.#emitted);
    const now = this.#text(this.#context, this.#ids.length);
    const waits = now.endsWith("\uFFFD") && this.#ids.length - this.#emitted < longestWait;
    if (!isLast && (waits || now.length <= before.length)) return "";
    this.#context = this.#emitted;
    this.#emitted = this.#ids.length;
    return now.slice(before.length);
  }

  #text(start: number, end: number): string {
    return this.#decoder.decode(this.#ids.slice(start, end), { skipSpecialTokens: true });
  }

  #plain(grown: string): TextStep {
    for (const _ of grown) this.#length++;
    this.#held.add(grown, true);
    return this.#cut();
  }

  #special(id: number): TextStep {
    this.#held.add(this.#decoder.decode([id], { skipSpecialTokens: false }), false);
    return this.#cut();
  }

  #cut(): TextStep {
    const held = this.#held;
    const found = held.firstOf(this.#stops);
    if (found === null) return { text: held.take(held.certain(this.#stops)), stop: null };
    const text = held.take(found.at);
    held.clear();
    return { text, stop: found.stop };
  }
}

/** Text that is not emitted yet. The text of special tokens in it never is. */
class HeldText {
  raw = "";
  /** Indices in `raw` of what will be emitted. */
  #plain: number[] = [];

  add(text: string, isPlain: boolean): void {
    if (isPlain) for (let i = 0; i < text.length; i++) this.#plain.push(this.raw.length + i);
    this.raw += text;
  }

  clear(): void {
    this.raw = "";
    this.#plain = [];
  }

  /** Removes `raw` up to an index, and returns its plain text. */
  take(end: number): string {
    const text = this.#visible((place) => place < end);
    this.#plain = this.#plain.filter((place) => place >= end).map((place) => place - end);
    this.raw = this.raw.slice(end);
    return text;
  }

  /** The first stop string, in the plain text or with the special tokens in it, and its index in `raw`. */
  firstOf(stops: readonly string[]): { stop: string; at: number } | null {
    let first: { stop: string; at: number } | null = null;
    const visible = this.#visible(() => true);
    for (const stop of stops) {
      const index = visible.indexOf(stop);
      const places = [this.raw.indexOf(stop), index < 0 ? -1 : at(this.#plain, index)];
      for (const at of places) {
        if (at >= 0 && (first === null || at < first.at)) first = { stop, at };
      }
    }
    return first;
  }

  /** Index in `raw` before which no stop string can begin any more. */
  certain(stops: readonly string[]): number {
    const visible = this.#visible(() => true);
    const held = beginningOfStop(visible, stops);
    const end = this.raw.length - beginningOfStop(this.raw, stops);
    return held === 0 ? end : Math.min(end, at(this.#plain, visible.length - held));
  }

  #visible(isTaken: (place: number) => boolean): string {
    return this.#plain
      .filter(isTaken)
      .map((place) => this.raw[place])
      .join("");
  }
}

/** Length of the longest end of `text` with which a stop string begins. */
function beginningOfStop(text: string, stops: readonly string[]): number {
  let longest = 0;
  for (const stop of stops) {
    for (let length = Math.min(stop.length - 1, text.length); length > longest; length--) {
      if (text.endsWith(stop.slice(0, length))) longest = length;
    }
  }
  return longest;
}
