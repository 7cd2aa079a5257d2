/** `text % values`: printf-style formatting. */
import { escapeCode } from "./characters.ts";
import { fixed, floatOf, general, integerText, scientific, truncate } from "./numbers.ts";
import { ascii, repr, str } from "./printing.ts";
import { Range } from "./range.ts";
import {
  codePoints,
  countCodePoints,
  Dict,
  numberOf,
  PythonError,
  Tuple,
  textOf,
  typeName,
  Undefined,
  UnsupportedError,
  type Value,
} from "./values.ts";

interface Directive {
  key: string | undefined;
  flags: string;
  width: string;
  precision: string | undefined;
  type: string;
}

/** Hands out the values of a tuple one after the other, or the one value. */
class Values {
  readonly #values: readonly Value[];
  readonly #mapping: Dict | null;
  #used = 0;

  constructor(values: Value) {
    this.#values = values instanceof Tuple ? values.items : [values];
    this.#mapping = values instanceof Dict ? values : null;
  }

  next(): Value {
    const value = this.#values[this.#used++];
    if (value === undefined) throw new PythonError("TypeError", "not enough arguments for format string");
    return value;
  }

  byName(key: string): Value {
    if (this.#mapping === null) throw new PythonError("TypeError", "format requires a mapping");
    this.#used = this.#values.length;
    const value = this.#mapping.get(key);
    if (value === undefined) throw new PythonError("KeyError", repr(key));
    return value;
  }

  finish(isOptional: boolean): void {
    if (this.#used < this.#values.length && !isOptional) {
      throw new PythonError("TypeError", "not all arguments converted during string formatting");
    }
  }
}

const directive = /%(?:\(([^)]*)\))?([-+ #0]*)(\*|\d+)?(?:\.(\*|\d*))?[hlL]?(.)?/gsu;

/** `format % value`. */
export function percentFormat(format: string, value: Value): string {
  const values = new Values(value);
  let text = "";
  let from = 0;
  for (const match of format.matchAll(directive)) {
    const [all, key, flags = "", width = "", precision, type] = match;
    if (type === undefined) throw new PythonError("ValueError", "incomplete format");
    text += format.slice(from, match.index);
    text += type === "%" ? "%" : convert({ key, flags, width, precision, type }, values);
    from = match.index + all.length;
  }
  // What has items by key or index, but for tuples and text, may hold more than is asked for.
  const hasItems = [Dict, Range, Undefined].some((type) => value instanceof type);
  values.finish(hasItems || Array.isArray(value));
  return text + format.slice(from);
}

function star(text: string | undefined, values: Values): number | null {
  if (text !== "*") return text === undefined ? null : Number(text);
  const value = values.next();
  if (typeof value === "bigint") return Number(value);
  throw new PythonError("TypeError", "* wants int");
}

function convert({ key, flags, width, precision, type }: Directive, values: Values): string {
  const wanted = star(width === "" ? undefined : width, values) ?? 0;
  const digits = star(precision, values);
  const value = key === undefined ? values.next() : values.byName(key);
  const isLeft = flags.includes("-") || wanted < 0;
  const { sign, body } = bodyOf(type, value, { digits, flags });
  const missing = Math.max(0, Math.abs(wanted) - countCodePoints(sign + body));
  if (isLeft) return sign + body + " ".repeat(missing);
  const fillsZeros = flags.includes("0") && !"srac".includes(type);
  if (!fillsZeros) return " ".repeat(missing) + sign + body;
  const prefix = flags.includes("#") ? (/^0[xXo]/.exec(body)?.[0] ?? "") : "";
  return sign + prefix + "0".repeat(missing) + body.slice(prefix.length);
}

interface Style {
  digits: number | null;
  flags: string;
}

function bodyOf(type: string, value: Value, style: Style): { sign: string; body: string } {
  const texts: Record<string, (value: Value) => string> = { s: str, r: repr, a: ascii };
  const write = texts[type];
  if (write !== undefined) {
    const text = write(value);
    return {
      sign: "",
      body: style.digits === null ? text : codePoints(text).slice(0, style.digits).join(""),
    };
  }
  if (type === "c") return { sign: "", body: character(value) };
  const text = "diuxXo".includes(type) ? integer(type, value, style) : float(type, value, style);
  if (text.startsWith("-")) return { sign: "-", body: text.slice(1) };
  const { flags } = style;
  return { sign: flags.includes("+") ? "+" : flags.includes(" ") ? " " : "", body: text };
}

function character(value: Value): string {
  const text = textOf(value);
  if (text !== null && countCodePoints(text) === 1) return text;
  const code = numberOf(value);
  if (typeof code === "bigint" && code >= 0n && code < 0x110000n) return String.fromCodePoint(Number(code));
  throw new PythonError("TypeError", "%c requires an int or a unicode character");
}

function integer(type: string, value: Value, { digits, flags }: Style): string {
  const number = numberOf(value);
  const isDecimal = "diu".includes(type);
  if (number === null || (typeof number === "number" && !isDecimal)) {
    const wanted = isDecimal ? "a real number" : "an integer";
    throw new PythonError("TypeError", `%${type} format: ${wanted} is required, not ${typeName(value)}`);
  }
  const whole = typeof number === "bigint" ? number : truncate(number);
  const radix = type === "o" ? 8 : 16;
  const size = whole < 0n ? -whole : whole;
  const text = (isDecimal ? integerText(size) : size.toString(radix)).padStart(digits ?? 0, "0");
  const prefix = flags.includes("#") && !isDecimal ? `0${type}` : "";
  return `${whole < 0n ? "-" : ""}${prefix}${type === "X" ? text.toUpperCase() : text}`;
}

function float(type: string, value: Value, { digits, flags }: Style): string {
  const writers: Record<string, (value: number, digits: number) => string> = {
    e: scientific,
    f: fixed,
    g: general,
  };
  const write = writers[type.toLowerCase()];
  if (write === undefined) {
    const code = escapeCode(type.codePointAt(0) ?? 0).replace(/^\\[xuU]0*/, "0x");
    throw new PythonError("ValueError", `unsupported format character '${type}' (${code})`);
  }
  const number = numberOf(value);
  if (number === null) throw new PythonError("TypeError", `must be real number, not ${typeName(value)}`);
  if (flags.includes("#")) throw new UnsupportedError(`the flag # of %${type}`);
  const text = write(floatOf(number), digits ?? 6);
  return type === type.toUpperCase() ? text.toUpperCase() : text;
}
