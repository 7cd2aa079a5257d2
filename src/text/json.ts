/**
 * JSON of rows: as Python's `json.loads` reads it, numbers as they are spelled (`JsonNumber`), and nothing guessed.
 * What has two meanings is refused: a key given twice, half of a surrogate pair, NaN.
 */
import { scanJson } from "../formats/json-scan.ts";
import { NumberRangeError, numberFromJson } from "./json-number.ts";

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
const maxDepth = 900;

/**
 * The value of the JSON in `text`: objects, lists, strings, booleans, null, numbers and `JsonNumber`s.
 *
 * @throws JsonError for what is no JSON (NaN and Infinity too), and for JSON that does not say one thing
 */
export function parseJson(text: string): unknown {
  const { repeatedKey, exactNumbers, bareWord, deepest } = scanJson(text);
  if (deepest > maxDepth) throw new JsonError("meaning", `it is nested more than ${maxDepth} deep`);
  if (repeatedKey !== null) {
    parse(text, bareWord);
    throw new JsonError("meaning", `it gives the key ${shortKey(repeatedKey)} twice. Take one of them out`);
  }
  if (maybeHalfPair.test(text)) refuseHalfPairs(parse(text, bareWord));
  if (exactNumbers.length === 0) return parse(text, bareWord);
  try {
    return parseExactly(text, exactNumbers);
  } catch (error) {
    if (error instanceof NumberRangeError)
      throw new JsonError("meaning", `${error.message}. Mend or remove it`);
    throw error;
  }
}

/**
 * JSON.parse of a text whose numbers at `places` become `JsonNumber`s: while it is parsed, strings stand for them that
 * begin with half of a surrogate pair, as no other string does.
 */
function parseExactly(text: string, places: readonly number[]): unknown {
  let marked = "";
  let done = 0;
  for (let i = 0; i < places.length; i += 2) {
    const [start = 0, end = 0] = places.slice(i, i + 2);
    const source = text.slice(start, end);
    // What is no number is left to JSON.parse, which says where it stands.
    if (!jsonNumber.test(source)) return parse(text, null);
    marked += `${text.slice(done, start)}"\\ud800${source}"`;
    done = end;
  }
  try {
    return unmark(JSON.parse(marked + text.slice(done)));
  } catch (error) {
    if (error instanceof NumberRangeError) throw error;
    return parse(text, null);
  }
}

const jsonNumber = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$/;

function unmark(value: unknown): unknown {
  if (typeof value === "string") return value.startsWith("\ud800") ? numberFromJson(value.slice(1)) : value;
  if (typeof value !== "object" || value === null) return value;
  const fields = value as Record<string, unknown>;
  for (const key of Object.keys(fields)) {
    if (key.startsWith("\ud800")) throw new SyntaxError("a number in the place of a key");
    const entry = fields[key];
    const plain = unmark(entry);
    // Defined, not set: a key may be called __proto__.
    if (plain !== entry) Object.defineProperty(fields, key, { value: plain, ...ownProperty });
  }
  return value;
}

const ownProperty = { writable: true, enumerable: true, configurable: true } as const;

function parse(text: string, bareWord: string | null): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new JsonError("syntax", syntaxReason(error instanceof Error ? error.message : "", bareWord));
  }
}

function syntaxReason(message: string, bareWord: string | null): string {
  if (bareWord !== null) return `it has ${bareWord}, which JSON does not know; write null`;
  if (/end of JSON|Unterminated/.test(message)) return "the JSON ends too early. Is the file cut short?";
  const position = /position (\d+)/.exec(message);
  const at = position === null ? "" : ` at character ${Number(position[1]) + 1}`;
  return `it is not valid JSON${at}. Mend or remove it`;
}

/** An escaped half of a surrogate pair without its other half; also finds some escaped backslashes before a "u". */
const maybeHalfPair =
  /\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F]/;

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
  return `it has \\u${code}, half of a surrogate pair and no character. Mend or remove it`;
}

function halfPair(text: string): JsonError {
  return new JsonError("meaning", halfPairReason(text));
}

function shortKey(key: string): string {
  return JSON.stringify(key.length > 60 ? `${key.slice(0, 60)}...` : key);
}
