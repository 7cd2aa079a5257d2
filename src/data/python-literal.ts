/**
 * Python's notation of lists, dicts, strings and numbers, as `str()` writes them into the cells of a CSV file. NumPy's
 * arrays too, which have no commas between their items.
 */

import { halfPairReason, JsonError } from "../text/json.ts";
import { numberFromJson } from "../text/json-number.ts";
import { objectOf } from "../text/key-order.ts";

/** Text that is no such notation. */
class PythonSyntaxError extends Error {}

/**
 * The value that `text` writes: lists and tuples as lists, dicts as objects, None as null.
 *
 * @throws PythonSyntaxError when it is anything else, or a key of a dict is given twice; JsonError for half of a surrogate pair
 */
export function parsePythonLiteral(text: string): unknown {
  const reader = new Reader(text);
  const value = reader.value(0);
  reader.end();
  return value;
}

/** About as deep as Python reads JSON. */
const maxDepth = 900;

const escapes: Readonly<Record<string, string>> = {
  n: "\n",
  t: "\t",
  r: "\r",
  "\\": "\\",
  "'": "'",
  '"': '"',
  a: "\x07",
  b: "\b",
  f: "\f",
  v: "\v",
  "\n": "",
};
const hexDigits: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 };
const words: ReadonlyMap<string, unknown> = new Map<string, unknown>([
  ["True", true],
  ["False", false],
  ["None", null],
]);

/** @throws JsonError for a half that an escape wrote, as JSON's reader does */
function wellFormed(text: string): string {
  if (text.isWellFormed()) return text;
  throw new JsonError("meaning", halfPairReason(text));
}

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  end(): void {
    this.#skipSpace();
    if (this.#at < this.#text.length) throw this.#unexpected();
  }

  value(depth: number): unknown {
    if (depth > maxDepth) throw new PythonSyntaxError("nested too deep");
    this.#skipSpace();
    const next = this.#text.charAt(this.#at);
    if (next === "[") return this.#list("]", depth);
    if (next === "(") return this.#list(")", depth);
    if (next === "{") return this.#dict(depth);
    if (next === "'" || next === '"') return this.#string(next);
    const word = this.#match(/[A-Za-z]+/y);
    if (word === "array") return this.#array(depth);
    if (word !== null && words.has(word)) return words.get(word);
    const number = word === null ? this.#match(/[-+]?(\d+(?:\.\d*)?|\.\d+)(e[-+]?\d+)?(?![\w.])/iy) : null;
    if (number === null) throw this.#unexpected();
    return numberFromJson(number.replace("+", ""));
  }

  #list(close: string, depth: number): unknown[] {
    this.#at++;
    const items: unknown[] = [];
    while (!this.#take(close)) {
      items.push(this.value(depth + 1));
      this.#take(",");
    }
    return items;
  }

  #dict(depth: number): Record<string, unknown> {
    this.#at++;
    const entries = new Map<string, unknown>();
    while (!this.#take("}")) {
      this.#skipSpace();
      const quote = this.#text.charAt(this.#at);
      if (quote !== "'" && quote !== '"') throw this.#unexpected();
      const key = this.#string(quote);
      if (entries.has(key) || !this.#take(":")) throw this.#unexpected();
      entries.set(key, this.value(depth + 1));
      if (this.#take("}")) break;
      if (!this.#take(",")) throw this.#unexpected();
    }
    return objectOf([...entries]);
  }

  /** `array([...], dtype=object)`, as NumPy writes an array inside something else. */
  #array(depth: number): unknown {
    if (!this.#take("(")) throw this.#unexpected();
    const value = this.value(depth + 1);
    if (this.#take(",")) {
      this.#skipSpace();
      if (this.#match(/dtype=\w+/y) === null) throw this.#unexpected();
    }
    if (!this.#take(")")) throw this.#unexpected();
    return value;
  }

  #string(quote: string): string {
    this.#at++;
    let out = "";
    while (true) {
      const next = this.#text.charAt(this.#at++);
      if (next === "" || next === "\n") throw this.#unexpected();
      if (next === quote) return wellFormed(out);
      out += next === "\\" ? this.#escape() : next;
    }
  }

  #escape(): string {
    const letter = this.#text.charAt(this.#at++);
    const digits = hexDigits[letter];
    if (digits !== undefined) {
      const hex = this.#text.slice(this.#at, this.#at + digits);
      const code = Number.parseInt(hex, 16);
      if (!/^[0-9a-f]+$/i.test(hex) || hex.length < digits || code > 0x10ffff) throw this.#unexpected();
      this.#at += digits;
      return String.fromCodePoint(code);
    }
    const octal = this.#match(/[0-7]{1,3}/y, this.#at - 1);
    if (octal !== null) return String.fromCodePoint(Number.parseInt(octal, 8));
    // Python keeps the backslash of an escape it does not know.
    return escapes[letter] ?? `\\${letter}`;
  }

  #take(character: string): boolean {
    this.#skipSpace();
    if (this.#text.charAt(this.#at) !== character) return false;
    this.#at++;
    return true;
  }

  #skipSpace(): void {
    this.#match(/\s*/y);
  }

  #match(pattern: RegExp, at: number = this.#at): string | null {
    pattern.lastIndex = at;
    const match = pattern.exec(this.#text);
    if (match === null) return null;
    this.#at = at + match[0].length;
    return match[0];
  }

  #unexpected(): PythonSyntaxError {
    return new PythonSyntaxError(`not Python's notation of a value at character ${this.#at + 1}`);
  }
}
