/**
 * JSON of rows: as Python's `json.loads` reads it, numbers as they are spelled (`JsonNumber`), and nothing guessed.
 * What has two meanings is refused: a key given twice, half of a surrogate pair, NaN.
 */
import { type JsonScan, scanJson } from "../formats/json-scan.ts";
import { NumberRangeError, numberFromJson } from "./json-number.ts";
import { objectOf } from "./key-order.ts";

/** Why a text was refused. "syntax": it is no JSON; "meaning": it is, but does not say one thing. */
export type JsonFault = "syntax" | "meaning";

/** A JSON text that cannot be used. `message` continues a sentence that names the place, and quotes no values. */
export class JsonError extends Error {
  readonly fault: JsonFault;

  constructor(fault: JsonFault, message: string) {
    super(message);
    this.fault = fault;
  }
}

/** Deepest nesting that is read, about as deep as Python reads. */
const pythonDepth = 900;

/** Most keys that the objects of a text may have together: each costs many times its bytes. */
const maxKeys = 100_000;

/**
 * The value of the JSON in `text`: objects, lists, strings, booleans, null, numbers and `JsonNumber`s.
 *
 * @param maxDepth - deepest nesting that is taken
 * @throws JsonError for what is no JSON (NaN and Infinity too), and for JSON that does not say one thing
 */
export function parseJson(text: string, maxDepth: number = pythonDepth): unknown {
  const scan = scanJson(text, { depth: maxDepth, keys: maxKeys });
  const { repeatedKey, exactNumbers, exactKeys, bareWord, deepest, keys } = scan;
  if (deepest > maxDepth) throw new JsonError("meaning", `it is nested more than ${maxDepth} deep`);
  if (keys > maxKeys) throw new JsonError("meaning", `it has more than ${maxKeys} keys`);
  if (repeatedKey !== null) {
    parse(text, bareWord);
    throw new JsonError("meaning", `it gives the key ${shortKey(repeatedKey)} twice. Take one of them out`);
  }
  if (maybeHalfPair.test(text)) refuseHalfPairs(parse(text, bareWord));
  if (exactNumbers.length + exactKeys.length === 0) return parse(text, bareWord);
  try {
    const value = parseExactly(text, scan);
    // Now that keys are what they say.
    if (maybeHalfPair.test(text)) refuseHalfPairs(value);
    return value;
  } catch (error) {
    if (error instanceof NumberRangeError)
      throw new JsonError("meaning", `${error.message}. Fix or remove it`);
    throw error;
  }
}

/** What `JSON.stringify` wrote, such as a row that is kept: with its `JsonNumber`s, and with halves of surrogate pairs. */
export function parseWritten(text: string): unknown {
  const scan = scanJson(text);
  return scan.exactNumbers.length + scan.exactKeys.length === 0 ? JSON.parse(text) : parseExactly(text, scan);
}

/**
 * JSON.parse of a text with numbers and keys that it does not keep: while it is parsed, others stand for them. For a
 * number that is a string that begins with half of a surrogate pair, as no other string does. For a key with escapes it
 * is a name without any: V8 (Node 24) takes such a key for one of an earlier object that its spelling begins with, so
 * that `"\n"` becomes a backslash. For a key that begins with a digit it is one that keeps its place.
 */
function parseExactly(text: string, scan: JsonScan): unknown {
  const standIns = new StandIns(text);
  try {
    return standIns.replaced(JSON.parse(withStandIns(text, scan, standIns)));
  } catch (error) {
    if (error instanceof NumberRangeError) throw error;
    // JSON.parse of the text as it is says where it is none.
    return parse(text, null);
  }
}

/** @throws SyntaxError when a number or a key is none */
function withStandIns(text: string, { exactNumbers, exactKeys }: JsonScan, standIns: StandIns): string {
  const numbers = pairs(exactNumbers).map(([start, end]) => ({ start, end, isKey: false }));
  const keys = pairs(exactKeys).map(([start, end]) => ({ start, end, isKey: true }));
  let marked = "";
  let done = 0;
  for (const { start, end, isKey } of [...numbers, ...keys].sort((a, b) => a.start - b.start)) {
    const source = text.slice(start, end);
    if (!isKey && !jsonNumber.test(source)) throw new SyntaxError("no number");
    marked += text.slice(done, start) + (isKey ? standIns.forKey(source) : `"\\ud800${source}"`);
    done = end;
  }
  return marked + text.slice(done);
}

function pairs(places: readonly number[]): [number, number][] {
  const count = places.length / 2;
  return Array.from({ length: count }, (_, i) => [places[2 * i] ?? 0, places[2 * i + 1] ?? 0]);
}

/** What stands for numbers and keys while a text is parsed. */
class StandIns {
  readonly #keys: Map<string, string> = new Map();
  #mark = "key ";

  constructor(text: string) {
    while (text.includes(this.#mark)) this.#mark += "key ";
  }

  /** A name that stands for the key written as `source`. @throws SyntaxError when that is no string */
  forKey(source: string): string {
    const name = `${this.#mark}${this.#keys.size}`;
    this.#keys.set(name, String(JSON.parse(`"${source}"`)));
    return name;
  }

  /** `value` with what they stand for. @throws SyntaxError for a number in the place of a key; NumberRangeError */
  replaced(value: unknown): unknown {
    if (typeof value === "string") return value.startsWith("\ud800") ? numberFromJson(value.slice(1)) : value;
    if (typeof value !== "object" || value === null) return value;
    if (Array.isArray(value)) return value.map((entry) => this.replaced(entry));
    const entries = Object.entries(value).map(
      ([key, entry]) => [this.#key(key), this.replaced(entry)] as const,
    );
    return objectOf(entries);
  }

  #key(key: string): string {
    if (key.startsWith("\ud800")) throw new SyntaxError("a number in the place of a key");
    return this.#keys.get(key) ?? key;
  }
}

const jsonNumber = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$/;

function parse(text: string, bareWord: string | null): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new JsonError("syntax", syntaxReason(error instanceof Error ? error.message : "", bareWord));
  }
}

function syntaxReason(message: string, bareWord: string | null): string {
  if (bareWord !== null) return `it has ${bareWord}, which JSON does not know; write null`;
  if (/end of JSON|Unterminated/.test(message))
    return "the JSON ends too early: it is cut short here, or a quote or bracket is not closed";
  const position = /position (\d+)/.exec(message);
  const at = position === null ? "" : ` at character ${Number(position[1]) + 1}`;
  return `it is not valid JSON${at}. Fix or remove it`;
}

/** An escaped half of a surrogate pair without its other half, or an escaped backslash that makes that hard to tell. */
const maybeHalfPair =
  /\\\\u[dD][89a-fA-F]|\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F]/;

function refuseHalfPairs(value: unknown): void {
  if (typeof value === "string") {
    if (!value.isWellFormed()) throw halfPair(value);
  } else if (typeof value === "object" && value !== null) {
    for (const [key, entry] of Object.entries(value)) {
      if (!key.isWellFormed()) throw halfPair(key);
      refuseHalfPairs(entry);
    }
  }
}

/** What is wrong with a text that is not well-formed, to continue a sentence that names the place. */
export function halfPairReason(text: string): string {
  const match = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/.exec(text);
  const code = (match?.[0] ?? "").charCodeAt(0).toString(16);
  return `it has \\u${code}, half of a surrogate pair and no character. Fix or remove it`;
}

function halfPair(text: string): JsonError {
  return new JsonError("meaning", halfPairReason(text));
}

function shortKey(key: string): string {
  return JSON.stringify(key.length > 60 ? `${key.slice(0, 60)}...` : key);
}
