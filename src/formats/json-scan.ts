/**
 * What JSON.parse does not tell about a hostile document: how deep and how wide it is, and whether a key comes twice.
 *
 * Both scanners work on text that JSON.parse judges afterwards, so they need not check the grammar.
 */

const quote = 0x22;
const backslash = 0x5c;
const colon = 0x3a;
const openBrace = 0x7b;
const closeBrace = 0x7d;
const openBracket = 0x5b;
const closeBracket = 0x5d;

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

/**
 * The first object key that is written twice within one object, or null.
 *
 * @param text - valid JSON; keys are compared after their escapes are resolved
 */
export function duplicateKey(text: string): string | null {
  const keys = new KeyTracker();
  let lastString = "";
  for (let i = 0; i < text.length; i++) {
    const char = text.charCodeAt(i);
    if (char === quote) {
      const end = stringEnd(text, i);
      lastString = text.slice(i, end + 1);
      i = end;
    } else if (char === colon) {
      const key = lastString.includes("\\") ? String(JSON.parse(lastString)) : lastString.slice(1, -1);
      if (keys.isRepeated(key)) return key;
    } else keys.follow(char);
  }
  return null;
}

/** The keys seen so far in each of the objects the scan is inside of; null stands for a list. */
class KeyTracker {
  readonly #open: (Set<string> | null)[] = [];

  follow(char: number): void {
    if (char === openBrace) this.#open.push(new Set());
    else if (char === openBracket) this.#open.push(null);
    else if (char === closeBrace || char === closeBracket) this.#open.pop();
  }

  isRepeated(key: string): boolean {
    const keys = this.#open.at(-1);
    if (keys?.has(key)) return true;
    keys?.add(key);
    return false;
  }
}

/** Index of the quote that ends the string begun at `start`. A loop, since a regex would exhaust its stack here. */
function stringEnd(text: string, start: number): number {
  let i = start + 1;
  for (let char = text.charCodeAt(i); char !== quote && i < text.length; char = text.charCodeAt(i)) {
    i += char === backslash ? 2 : 1;
  }
  return i;
}
