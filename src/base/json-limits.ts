/**
 * Limits of JSON that comes from others, checked on its bytes before it is parsed: a small file can ask JSON.parse for many times
 * its size in memory, or for more nesting than what reads the value has stack for.
 */
import { FormatError } from "./errors.ts";

/** What a document may have. */
export interface JsonLimits {
  /** Bytes of the file. */
  bytes: number;
  /** Lists and objects inside one another. */
  depth: number;
  /** Members of one object, and elements of one list. */
  members: number;
  elements: number;
  /** Lists and objects in all. */
  parts: number;
}

const mebibyte = 2 ** 20;

/** Settings: config.json, generation_config.json, adapter_config.json, special_tokens_map.json. */
export const settingsLimits: JsonLimits = {
  bytes: 4 * mebibyte,
  depth: 64,
  members: 100_000,
  elements: 100_000,
  parts: 100_000,
};

const quote = 0x22;
const backslash = 0x5c;
const comma = 0x2c;
const openBrace = 0x7b;
const closeBrace = 0x7d;

/**
 * Refuses a document that is beyond the limits. What is no JSON is left to the parser.
 *
 * @throws {FormatError} naming the limit
 */
export function requireJsonLimits(bytes: Uint8Array, path: string, limits: JsonLimits): void {
  const nesting = new Nesting(path, limits);
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i] as number;
    // A bracket and the brace of its side differ in one bit.
    if (byte === quote) i = stringEnd(bytes, i);
    else if (byte === comma) nesting.comma();
    else if ((byte | 0x20) === openBrace) nesting.open(byte === openBrace);
    else if ((byte | 0x20) === closeBrace) nesting.close();
  }
}

/** The lists and objects that a scan is inside of, with the commas of each. */
class Nesting {
  readonly #path: string;
  readonly #limits: JsonLimits;
  readonly #commas: number[] = [];
  readonly #isObject: boolean[] = [];
  #depth = 0;
  #parts = 0;

  constructor(path: string, limits: JsonLimits) {
    this.#path = path;
    this.#limits = limits;
  }

  open(isObject: boolean): void {
    const { depth, parts } = this.#limits;
    if (++this.#depth > depth) this.#refuse(depth, "lists and objects inside one another");
    if (++this.#parts > parts) this.#refuse(parts, "lists and objects");
    this.#commas[this.#depth] = 0;
    this.#isObject[this.#depth] = isObject;
  }

  close(): void {
    if (this.#depth > 0) this.#depth--;
  }

  comma(): void {
    const { members, elements } = this.#limits;
    const count = (this.#commas[this.#depth] ?? 0) + 1;
    this.#commas[this.#depth] = count;
    if (this.#isObject[this.#depth] === true && count >= members)
      this.#refuse(members, "members in one object");
    if (count >= elements) this.#refuse(elements, "elements in one list");
  }

  #refuse(most: number, what: string): never {
    throw new FormatError(`${this.#path}: expected JSON with at most ${most} ${what}, it has more.`);
  }
}

/** Index of the closing quote of the string at `start`. */
function stringEnd(bytes: Uint8Array, start: number): number {
  let i = start + 1;
  while (i < bytes.length && bytes[i] !== quote) i += bytes[i] === backslash ? 2 : 1;
  return i;
}
