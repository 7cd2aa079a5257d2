/** The elements of a JSON list that comes in pieces: none but the element at hand is in memory. */

const quote = 0x22;
const backslash = 0x5c;
const comma = 0x2c;
const openBrace = 0x7b;
const closeBrace = 0x7d;
const openBracket = 0x5b;
const closeBracket = 0x5d;

/** An element that is longer than allowed. */
export class LongElementError extends Error {}

/** How a list ended: "open" when it is not closed, "more" when something stands behind it. */
export type ListEnd = "whole" | "open" | "more";

/** True for white space of JSON. */
export function isJsonSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

/**
 * Takes a list in UTF-8 apart. What is wrong within an element is left to its parser.
 *
 * Quotes, brackets and commas are bytes that stand in no other character of UTF-8.
 */
export class JsonListReader {
  readonly #longest: number;
  /** Null before the list's bracket, -1 behind its end; else brackets open within the element at hand. */
  #depth: number | null = null;
  #inString = false;
  #escaped = false;
  #held: Buffer[] = [];
  #heldBytes = 0;
  #count = 0;
  #hasMore = false;

  /** @param longest - bytes of the longest element */
  constructor(longest: number) {
    this.#longest = longest;
  }

  /**
   * The elements that end in `piece`, each as it is written.
   *
   * @throws LongElementError when one gets too long
   */
  *feed(piece: Buffer): Generator<Buffer> {
    let start = 0;
    for (let i = 0; i < piece.length; i++) {
      const byte = piece[i] as number;
      if (this.#inString) this.#insideString(byte);
      else if (this.#depth === null || this.#depth < 0) {
        this.#outsideList(byte);
        start = i + 1;
      } else if (this.#endsElement(byte)) {
        const element = this.#element(piece.subarray(start, i));
        start = i + 1;
        // "[]" has none
        if (byte === comma || this.#count > 1 || !element.every(isJsonSpace)) yield element;
      }
    }
    this.#hold(piece.subarray(start));
  }

  /** Follows a byte outside of strings; true for the comma or bracket behind an element. */
  #endsElement(byte: number): boolean {
    const depth = this.#depth ?? 0;
    if (byte === comma) return depth === 0;
    if (byte === quote) this.#inString = true;
    else if (byte === openBrace || byte === openBracket) this.#depth = depth + 1;
    else if (byte === closeBracket || (byte === closeBrace && depth > 0)) {
      this.#depth = depth - 1;
      return depth === 0;
    }
    return false;
  }

  /** What stands behind the last comma of a list that is not closed; null when nothing was begun or it is closed. */
  rest(): Buffer | null {
    return this.#depth === null || this.#depth < 0 ? null : this.#element(Buffer.alloc(0));
  }

  /** How the list has ended, when all has been fed. */
  end(): ListEnd {
    if (this.#depth === null || this.#depth >= 0) return "open";
    return this.#hasMore ? "more" : "whole";
  }

  #insideString(byte: number): void {
    if (this.#escaped) this.#escaped = false;
    else if (byte === backslash) this.#escaped = true;
    else if (byte === quote) this.#inString = false;
  }

  #outsideList(byte: number): void {
    if (this.#depth === null && byte === openBracket) this.#depth = 0;
    else if (!isJsonSpace(byte)) this.#hasMore = true;
  }

  #element(rest: Buffer): Buffer {
    this.#hold(rest);
    const [only, ...others] = this.#held;
    const whole = only !== undefined && others.length === 0 ? only : Buffer.concat(this.#held);
    this.#held = [];
    this.#heldBytes = 0;
    this.#count++;
    return whole;
  }

  #hold(bytes: Buffer): void {
    if (bytes.length === 0 || (this.#heldBytes === 0 && bytes.every(isJsonSpace))) return;
    this.#heldBytes += bytes.length;
    if (this.#heldBytes > this.#longest) throw new LongElementError();
    this.#held.push(bytes);
  }
}
