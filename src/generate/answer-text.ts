/** An answer's text as its tokens come: whole characters only, and ended by stop texts wherever token boundaries fall. */
import { at } from "../base/at.ts";
import type { Tokenizer } from "../text/tokenizer.ts";

/** What the decoding of text needs of a tokenizer. */
export type TokenDecoder = Pick<Tokenizer, "decode" | "isSpecial">;

/** What a token added to the text. */
export interface TextStep {
  /** Text that is now certain; empty while a character or a possible stop text is incomplete. */
  text: string;
  /** The stop text that ended the answer; it and what followed it are dropped. */
  stop: string | null;
}

/** A token's step, and where the token stands. */
export interface TokenStep extends TextStep {
  /** Code points of the answer's text before the token. Parts of one character stand at its beginning. */
  place: number;
  /** Whether no other text is before it: there SentencePiece decoders leave out a space. */
  isFirst: boolean;
}

/** Tokens after which bytes that make no character are given up waiting for. */
const longestWait = 32;
/** Tokens of a prompt that decide how the first token after it reads: bytes of a character, and the one before them. */
const promptTokens = 8;
const longestCharacter = 4;

/**
 * The text of one answer. Joined, its steps and its rest are the tokens' text, cut before the first stop text. Special
 * tokens are no part of the text, but stop texts may name them.
 *
 * A token's text may depend on its neighbour (a space in front, bytes of one character), so a token is read together with
 * those before it, back to the last place where a whole character ended.
 */
export class AnswerText {
  readonly #decoder: TokenDecoder;
  readonly #stops: readonly string[];
  /** Those that are no special tokens. */
  readonly #ids: number[];
  /** Tokens from here on are decoded together. */
  #context = 0;
  /** Tokens before this one have given their text. */
  #told = 0;
  /** Code points of the text so far, with what is held back. */
  #length = 0;
  /** Text that may be the beginning of a stop text, special tokens included. */
  readonly #held: HeldText = new HeldText();

  /**
   * @param stops - texts that end the answer, none of them empty
   * @param prompt - tokens whose text the answer continues: their text and the answer's are that of all tokens; none: the
   *   answer's tokens are a text of their own
   */
  constructor(decoder: TokenDecoder, stops: readonly string[], prompt: readonly number[] = []) {
    this.#decoder = decoder;
    this.#stops = stops;
    this.#ids = prompt.filter((id) => !decoder.isSpecial(id)).slice(-promptTokens);
    this.#told = this.#lastWhole();
  }

  /** Adds a token. */
  push(id: number): TokenStep {
    const place = this.#length;
    if (this.#decoder.isSpecial(id)) return { ...this.#special(id), place, isFirst: false };
    const isFirst = this.#ids.length === 0;
    this.#ids.push(id);
    return { ...this.#plain(this.#newText(false)), place, isFirst };
  }

  /**
   * What is still held back, at the answer's end; it may complete a stop text.
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

  /** Where the last whole character of the prompt ends. */
  #lastWhole(): number {
    const all = this.#ids.length;
    for (let end = all; end >= Math.max(1, all - longestCharacter); end--) {
      if (!this.#text(0, end).endsWith("\uFFFD")) return end;
    }
    return all;
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

/** Text that is not told yet. What special tokens wrote in it is never told. */
class HeldText {
  raw = "";
  /** Places in `raw` of what is told. */
  #told: number[] = [];

  add(text: string, isTold: boolean): void {
    if (isTold) for (let i = 0; i < text.length; i++) this.#told.push(this.raw.length + i);
    this.raw += text;
  }

  clear(): void {
    this.raw = "";
    this.#told = [];
  }

  /** Takes `raw` up to a place out, and gives what is told of it. */
  take(end: number): string {
    const text = this.#visible((place) => place < end);
    this.#told = this.#told.filter((place) => place >= end).map((place) => place - end);
    this.raw = this.raw.slice(end);
    return text;
  }

  /** The first stop text, in what is told or with the special tokens in it, and its place in `raw`. */
  firstOf(stops: readonly string[]): { stop: string; at: number } | null {
    let first: { stop: string; at: number } | null = null;
    const visible = this.#visible(() => true);
    for (const stop of stops) {
      const told = visible.indexOf(stop);
      const places = [this.raw.indexOf(stop), told < 0 ? -1 : at(this.#told, told)];
      for (const at of places) {
        if (at >= 0 && (first === null || at < first.at)) first = { stop, at };
      }
    }
    return first;
  }

  /** Place in `raw` up to which no stop text can begin any more. */
  certain(stops: readonly string[]): number {
    const visible = this.#visible(() => true);
    const told = beginningOfStop(visible, stops);
    const end = this.raw.length - beginningOfStop(this.raw, stops);
    return told === 0 ? end : Math.min(end, at(this.#told, visible.length - told));
  }

  #visible(isTaken: (place: number) => boolean): string {
    return this.#told
      .filter(isTaken)
      .map((place) => this.raw[place])
      .join("");
  }
}

/** Length of the longest end of `text` with which a stop text begins. */
function beginningOfStop(text: string, stops: readonly string[]): number {
  let longest = 0;
  for (const stop of stops) {
    for (let length = Math.min(stop.length - 1, text.length); length > longest; length--) {
      if (text.endsWith(stop.slice(0, length))) longest = length;
    }
  }
  return longest;
}
