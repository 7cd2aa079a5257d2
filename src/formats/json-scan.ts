/**
 * What JSON.parse does not tell about a document: how deep and how wide it is, whether a key comes twice, and whether it
 * has numbers that JavaScript's do not stand for.
 *
 * Both scanners work on text that JSON.parse judges too, so they need not check the grammar.
 */

const quote = 0x22;
const backslash = 0x5c;
const colon = 0x3a;
const openBrace = 0x7b;
const closeBrace = 0x7d;
const openBracket = 0x5b;
const closeBracket = 0x5d;
const minus = 0x2d;
const dot = 0x2e;
const zero = 0x30;
const nine = 0x39;
const capitalI = 0x49;
const capitalN = 0x4e;

/**
 * Counts the members of the outermost object and the nesting depth of a JSON text given in pieces.
 *
 * Memory: a few numbers, whatever the length of the text.
 */
export class JsonMeter {
  /** Members of the outermost object so far. */
  members = 0;
  /** Deepest nesting so far; a flat object has 1. */
  deepest = 0;
  #depth = 0;
  #inString = false;
  #escaped = false;

  /** Reads on. `bytes` is the next piece of the text in UTF-8. */
  feed(bytes: Uint8Array): void {
    for (const byte of bytes) {
      if (this.#inString) this.#insideString(byte);
      else this.#outsideString(byte);
    }
  }

  #insideString(byte: number): void {
    if (this.#escaped) this.#escaped = false;
    else if (byte === backslash) this.#escaped = true;
    else if (byte === quote) this.#inString = false;
  }

  #outsideString(byte: number): void {
    switch (byte) {
      case quote:
        this.#inString = true;
        break;
      case openBrace:
      case openBracket:
        this.#depth++;
        this.deepest = Math.max(this.deepest, this.#depth);
        break;
      case closeBrace:
      case closeBracket:
        this.#depth--;
        break;
      case colon:
        if (this.#depth === 1) this.members++;
        break;
    }
  }
}

/** What a text says beyond its values. */
export interface JsonScan {
  /** The first object key that is written twice within one object, escapes resolved; null when there is none. */
  repeatedKey: string | null;
  /**
   * Where numbers stand that JSON.parse does not keep as they are, as start and end, start and end: integers beyond 2^53,
   * floats without a fraction, -0.
   */
  exactNumbers: number[];
  /**
   * Where keys stand that JSON.parse does not keep as they are: those with escapes, and those that begin with a digit,
   * since it puts whole numbers first. As start and end of what is between their quotes.
   */
  exactKeys: number[];
  /** `NaN`, `Infinity` or `-Infinity` outside of strings, which Python writes and JSON does not know. */
  bareWord: string | null;
  /** Deepest nesting; a flat object has 1. */
  deepest: number;
  /** Keys of all objects together. */
  keys: number;
}

/** How much a text may hold. A scan ends where it has more. */
export interface ScanLimits {
  depth: number;
  keys: number;
}

const noLimits: ScanLimits = { depth: Number.POSITIVE_INFINITY, keys: Number.POSITIVE_INFINITY };

/** Reads over `text` once. What it says of text that is no JSON is of no use, but for `bareWord`. */
export function scanJson(text: string, limits: ScanLimits = noLimits): JsonScan {
  const found: JsonScan = {
    repeatedKey: null,
    exactNumbers: [],
    exactKeys: [],
    bareWord: null,
    deepest: 0,
    keys: 0,
  };
  const keys = new KeyTracker();
  for (let i = 0; i < text.length && keys.deepest <= limits.depth && found.keys <= limits.keys; i++) {
    i = scanAt(text, i, keys, found);
  }
  return { ...found, deepest: keys.deepest };
}

/** Index of the last character of what begins at `i`. */
function scanAt(text: string, i: number, keys: KeyTracker, found: JsonScan): number {
  const char = text.charCodeAt(i);
  if (char === quote) return scanString(text, i, keys, found);
  if (char <= nine) return char === minus || char >= zero ? scanNumber(text, i, found) : i;
  // A bracket and the brace of its side differ in one bit.
  if ((char | 0x20) === openBrace || (char | 0x20) === closeBrace) keys.follow(char);
  else if (char === capitalN || char === capitalI) found.bareWord ??= bareWordAt(text, i);
  return i;
}

/** Index of the last character of the string at `start`, or of the colon behind a key. */
function scanString(text: string, start: number, keys: KeyTracker, found: JsonScan): number {
  const end = stringEnd(text, start);
  const colonIndex = colonAfter(text, end);
  if (colonIndex === null) return end;
  const key = text.slice(start + 1, end);
  found.keys++;
  if (keys.isRepeated(key)) found.repeatedKey ??= keyIn(key);
  if (key.includes("\\") || isDigit(key.charCodeAt(0))) found.exactKeys.push(start + 1, end);
  return colonIndex;
}

/** Index of the last character of the number at `start`. */
function scanNumber(text: string, start: number, found: JsonScan): number {
  const digits = digitsEnd(text, start);
  const end = isNumberPart(text.charCodeAt(digits)) ? numberEnd(text, digits) : digits;
  const isPlain = end === digits && end - start <= 15 && text.charCodeAt(start) !== minus;
  if (!isPlain && isExact(text, start, end)) found.exactNumbers.push(start, end);
  return end - 1;
}

/** The keys seen so far in each of the objects the scan is inside of; null stands for a list. */
class KeyTracker {
  /** Deepest nesting so far. */
  deepest = 0;
  readonly #open: (string[] | Set<string> | null)[] = [];

  /** Takes an opening or a closing bracket. */
  follow(char: number): void {
    if (char === closeBrace || char === closeBracket) this.#open.pop();
    else this.deepest = Math.max(this.deepest, this.#open.push(char === openBrace ? [] : null));
  }

  /** `written` as spelled between its quotes. */
  isRepeated(written: string): boolean {
    const keys = this.#open.at(-1);
    if (keys === undefined || keys === null) return false;
    const key = keyIn(written);
    if (!Array.isArray(keys)) {
      const before = keys.size;
      return keys.add(key).size === before;
    }
    if (keys.includes(key)) return true;
    keys.push(key);
    // A list is the faster of the two for the few keys that objects have.
    if (keys.length > 16) this.#open[this.#open.length - 1] = new Set(keys);
    return false;
  }
}

function keyIn(written: string): string {
  if (!written.includes("\\")) return written;
  try {
    return String(JSON.parse(`"${written}"`));
  } catch {
    return written;
  }
}

/** Index of the quote that ends the string begun at `start`. A loop, since a regex would exhaust its stack here. */
function stringEnd(text: string, start: number): number {
  let end = text.indexOf('"', start + 1);
  while (end >= 0) {
    let before = end;
    while (text.charCodeAt(before - 1) === backslash) before--;
    if ((end - before) % 2 === 0) return end;
    end = text.indexOf('"', end + 1);
  }
  return text.length;
}

/** Index of the colon behind the string that ends at `end`, or null when it is no key. */
function colonAfter(text: string, end: number): number | null {
  let i = end + 1;
  for (let char = text.charCodeAt(i); char === 0x20 || (char >= 0x09 && char <= 0x0d); ) {
    char = text.charCodeAt(++i);
  }
  return text.charCodeAt(i) === colon ? i : null;
}

/** Index behind the digits that follow the one at `start`. Lists of token ids are most of some files: a tight loop. */
function digitsEnd(text: string, start: number): number {
  let i = start + 1;
  for (let char = text.charCodeAt(i); char >= zero && char <= nine; ) char = text.charCodeAt(++i);
  return i;
}

function isDigit(char: number): boolean {
  return char >= zero && char <= nine;
}

/** Index after the number that continues at `start`. */
function numberEnd(text: string, start: number): number {
  let i = start + 1;
  for (let char = text.charCodeAt(i); isNumberPart(char); ) char = text.charCodeAt(++i);
  return i;
}

function isNumberPart(char: number): boolean {
  return (
    (char >= zero && char <= nine) ||
    char === dot ||
    (char | 0x20) === 0x65 ||
    char === 0x2b ||
    char === minus
  );
}

/** True for a number that JSON.parse would not keep as it is written. */
function isExact(text: string, start: number, end: number): boolean {
  let isInteger = true;
  for (let i = start + 1; i < end && isInteger; i++)
    isInteger = text.charCodeAt(i) >= zero && text.charCodeAt(i) <= nine;
  if (!isInteger) return !(Math.abs(Number(text.slice(start, end)) % 1) > 0);
  if (end - start < 16) return text.charCodeAt(start) === minus && text.charCodeAt(start + 1) === zero;
  return !Number.isSafeInteger(Number(text.slice(start, end)));
}

function bareWordAt(text: string, start: number): string | null {
  if (text.startsWith("NaN", start)) return "NaN";
  if (!text.startsWith("Infinity", start)) return null;
  return text.charCodeAt(start - 1) === minus ? "-Infinity" : "Infinity";
}
