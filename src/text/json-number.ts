/** Numbers as they are spelled: what JSON.parse would turn into another number, or into the same one spelled otherwise. */

/**
 * A number that a JavaScript number cannot stand for: an integer beyond 2^53, or a float without a fraction (`1.0`,
 * `2.5e+20`, `-0.0`), which JavaScript does not tell from an integer. All other numbers of a row are plain numbers.
 *
 * `JSON.stringify` writes it as Python's `json.dumps` does.
 */
export class JsonNumber {
  /** As Python writes it: `1234567890123456789`, `1.0`, `2.5e+20`. */
  readonly text: string;
  readonly isFloat: boolean;

  private constructor(text: string, isFloat: boolean) {
    this.text = text;
    this.isFloat = isFloat;
  }

  /** A float, finite. */
  static float(value: number): JsonNumber {
    return new JsonNumber(pythonFloat(value), true);
  }

  /** An integer of any size. */
  static integer(value: bigint): JsonNumber {
    return new JsonNumber(String(value), false);
  }

  /** The nearest JavaScript number. */
  valueOf(): number {
    return Number(this.text);
  }

  toString(): string {
    return this.text;
  }

  /** See `JSON.rawJSON`: stringified as it is. */
  toJSON(): unknown {
    return rawJson(this.text);
  }
}

/**
 * What `JSON.stringify` writes verbatim as `text`. It must be a flat string: of a long slice of another string
 * V8's `JSON.rawJSON` reads the wrong part (Node 24).
 */
export const rawJson: (text: string) => unknown = (JSON as unknown as { rawJSON: (text: string) => unknown })
  .rawJSON;

/** `value` as a JavaScript number where it is a number, however it is spelled; null where it is none. */
export function numberOf(value: unknown): number | null {
  if (value instanceof JsonNumber) return value.valueOf();
  return typeof value === "number" ? value : null;
}

/** A text, or a number as its digits: 81.0, as tables with gaps write whole numbers, is "81". Null for all else. */
export function nameOf(value: unknown): string | null {
  if (typeof value === "string") return value;
  const number = value instanceof JsonNumber && value.isFloat ? value.valueOf() : value;
  return numberOf(number) === null ? null : String(number);
}

/**
 * `value` with numbers as JavaScript has them, in lists and objects too, for who computes with them and for other processes: a
 * `JsonNumber` that is a float is the number (18.0 is 18), an integer beyond 2^53 is a BigInt, which holds all its digits. The same
 * value where it has no `JsonNumber`.
 */
export function plainNumbers<T>(value: T): T {
  return plain(value) as T;
}

function plain(value: unknown): unknown {
  if (value instanceof JsonNumber) return value.isFloat ? value.valueOf() : BigInt(value.text);
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) {
    const entries = value.map(plain);
    return entries.some((entry, i) => entry !== value[i]) ? entries : value;
  }
  // dates, bytes and other objects of a class are no containers of JSON
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return value;
  const entries = Object.entries(value).map(([key, entry]) => ({ key, entry, plain: plain(entry) }));
  if (entries.every((each) => each.entry === each.plain)) return value;
  return Object.fromEntries(entries.map((each) => [each.key, each.plain]));
}

/** `value` as JSON; a BigInt in it as its digits. */
export function jsonOf(value: unknown): string {
  return JSON.stringify(value, (_, entry) => (typeof entry === "bigint" ? rawJson(String(entry)) : entry));
}

/** What stands in `value` that JSON cannot hold, in words, or null: Parquet knows such values, and Python some of them. */
export function notJsonIn(value: unknown): string | null {
  if (typeof value === "number") return Number.isFinite(value) ? null : "NaN or Infinity";
  if (typeof value !== "object" || value === null || value instanceof JsonNumber) return null;
  if (value instanceof Date) return "a date or time";
  if (ArrayBuffer.isView(value)) return "bytes";
  for (const entry of Array.isArray(value) ? value : Object.values(value)) {
    const found = notJsonIn(entry);
    if (found !== null) return found;
  }
  return null;
}

/** A finite float as Python's `repr`, `str` and `json.dumps` write it: `1.0`, `1e-07`, `2.5e+20`, `-0.0`. */
export function pythonFloat(value: number): string {
  if (Object.is(value, -0)) return "-0.0";
  const size = Math.abs(value);
  // Python's repr has positional digits from 1e-4 to below 1e16; there JavaScript's are the same, but for the ".0".
  if (size === 0 || (size >= 1e-4 && size < 1e16)) {
    const text = String(value);
    return text.includes(".") ? text : `${text}.0`;
  }
  const [digits, exponent = ""] = value.toExponential().split("e");
  return `${digits}e${exponent.charAt(0)}${exponent.slice(1).padStart(2, "0")}`;
}

/** The number that a cell of a table spells in decimal digits; null for all else (`" "`, `"0x10"`, `"inf"`). */
export function numberInText(text: string): number | null {
  const isDecimal = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?$/.test(text.trim());
  return isDecimal ? Number(text) : null;
}

/** Digits of the longest decimal integer that Python reads or writes as text (`sys.int_info.default_max_str_digits`). */
export const maxIntegerDigits = 4300;

/** A number that no computer number stands for. `message` continues a sentence that names the place. */
export class NumberRangeError extends Error {}

/**
 * What a number in JSON means.
 *
 * @param source - as it is written
 * @throws NumberRangeError for a float beyond the largest double, and for an integer of more than 4300 digits
 */
export function numberFromJson(source: string): number | JsonNumber {
  const value = Number(source);
  if (/[.eE]/.test(source)) {
    if (!Number.isFinite(value)) throw new NumberRangeError("it has a number beyond the largest float");
    return Number.isInteger(value) ? JsonNumber.float(value) : value;
  }
  if (Number.isSafeInteger(value)) return value === 0 ? 0 : value;
  if (source.replace("-", "").length > maxIntegerDigits) {
    throw new NumberRangeError(`it has an integer of more than ${maxIntegerDigits} digits`);
  }
  return JsonNumber.integer(BigInt(source));
}
