/**
 * Values of Parquet columns as JSON would give them, by the file's schema: a field of a structure that is null is left
 * out, since Parquet writes every field of every row; numbers of float columns stay floats, 64-bit integers stay integers.
 */
import type { SchemaTree } from "hyparquet";

import { JsonError } from "../text/json.ts";
import { JsonNumber } from "../text/json-number.ts";
import { markedAs, objectOf } from "../text/key-order.ts";
import { decoderName } from "./parquet-footer.ts";

/** Bytes that are not UTF-8, in the place of a text. */
export class NotText {
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The text in `bytes`, where there is one. */
export function textOf(bytes: Uint8Array): string | NotText {
  try {
    return decoder.decode(bytes);
  } catch {
    return new NotText(bytes);
  }
}

const notUtf8 = "expected UTF-8 text, got other bytes";

/** A value that has no JSON. `message` continues a sentence that names the place. */
export class ValueError extends Error {}

/** Turns the value of a column or a part of one into JSON's. @throws ValueError */
type Convert = (value: unknown) => unknown;

/**
 * The converter of each column of `schema`, by name.
 *
 * @throws ValueError when a column or a field is named twice
 */
export function columnConverters(schema: SchemaTree): Map<string, Convert> {
  return byName(schema.children);
}

/** Whether `path` (names with dots between) leads to a field of `schema`, through structures alone. */
export function hasField(schema: SchemaTree, path: string): boolean {
  let node: SchemaTree | undefined = schema;
  for (const name of path.split(".")) {
    node = node?.children.find(
      ({ element }) => element.name === name && element.repetition_type !== "REPEATED",
    );
  }
  return node !== undefined;
}

function byName(fields: readonly SchemaTree[]): Map<string, Convert> {
  const converters = new Map(fields.map((field) => [field.element.name, converterOf(field)]));
  if (converters.size === fields.length) return converters;
  const names = fields.map(({ element }) => element.name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  throw new ValueError(`expected every column and field to have its own name, got "${twice}" twice`);
}

function converterOf(node: SchemaTree): Convert {
  if (node.element.repetition_type !== "REPEATED") return single(node);
  const each = single(node);
  return (value) => (Array.isArray(value) ? value.map(each) : (value ?? null));
}

function single(node: SchemaTree): Convert {
  const { element, children } = node;
  const [child] = children;
  if (child === undefined) return leaf(node);
  if (element.logical_type?.type === "VARIANT") return plainValue;
  if (element.converted_type === "LIST" && children.length === 1) return list(child, element.name);
  const isPairs = children.length === 1 && child.children.length === 2;
  if (/^MAP/.test(element.converted_type ?? "") && isPairs && child.element.repetition_type === "REPEATED")
    return map(child);
  return structure(children);
}

/**
 * `item` is the repeated node: a wrapper of the element, or in old files the element itself, if it is no group, has several fields, or
 * is called `array` or `LIST_tuple` (the format's rules for reading lists of before).
 */
function list(item: SchemaTree, listName: string): Convert {
  const { name } = item.element;
  const [only] = item.children;
  if (item.children.length > 1) {
    const each = structure(item.children);
    // hyparquet takes the group's name for a field
    const field = decoderName(name);
    return (value) => listOf(Array.isArray(value) ? value : Object(value)[field], each);
  }
  const each = single(only ?? item);
  if (only === undefined || (name !== "array" && name !== `${listName}_tuple`))
    return (value) => listOf(value, each);
  return (value) => listOf(value, (entry) => objectOf([[only.element.name, each(entry)]]));
}

function listOf(value: unknown, each: Convert): unknown {
  return Array.isArray(value) ? value.map(each) : (value ?? null);
}

/** `pairs` is the repeated node, of which hyparquet makes a list of entries. */
function map(pairs: SchemaTree): Convert {
  const [key, value] = pairs.children.map((node) => ({
    name: decoderName(node.element.name),
    convert: converterOf(node),
  }));
  const entry = (pair: unknown): [string, unknown] => [
    keyOf(key?.convert(Object(pair)[key.name])),
    value?.convert(Object(pair)[value.name]) ?? null,
  ];
  const field = decoderName(pairs.element.name);
  return (given) => {
    const list = Object(given)[field];
    return Array.isArray(list) ? objectOf(eachOnce(list.map(entry))) : null;
  };
}

function keyOf(value: unknown): string {
  if (typeof value === "string") return value;
  const isInteger = value instanceof JsonNumber ? !value.isFloat : Number.isInteger(value);
  if (isInteger) return String(value);
  throw new ValueError("expected the keys of a map to be texts or whole numbers, got others");
}

function eachOnce(entries: [string, unknown][]): [string, unknown][] {
  const seen = new Set<string>();
  for (const [key] of entries) {
    if (seen.has(key)) {
      const shown = JSON.stringify(key.length > 60 ? `${key.slice(0, 60)}...` : key);
      throw new ValueError(`expected every key of a map once, got ${shown} twice`);
    }
    seen.add(key);
  }
  return entries;
}

/** An object of the fields that have a value; null for no value. */
function structure(fields: readonly SchemaTree[]): Convert {
  const converters = [...byName(fields)].map(([name, convert]) => ({
    name,
    convert,
    given: decoderName(name),
  }));
  return (value) => {
    if (typeof value !== "object" || value === null) return null;
    const held = new Map(Object.entries(value));
    const entries = converters.map(
      ({ name, convert, given }) => [name, convert(held.get(given)) ?? undefined] as const,
    );
    return objectOf(entries.filter(([, entry]) => entry !== undefined));
  };
}

function leaf({ element }: SchemaTree): Convert {
  const { type, converted_type: converted, logical_type: logical, scale = 0 } = element;
  const perMilli = timeUnit(element);
  if (converted === "DECIMAL") return ofValue((value) => decimal(value, scale));
  if (perMilli !== null) return ofValue((value) => new Date(Number(value) / perMilli));
  if (converted === "BSON" || converted === "INTERVAL") return plainValue;
  // Columns of bytes that no one calls text (images) are none of ours, unless a row uses them.
  const isBytes = converted === undefined && logical === undefined;
  if (type === "BYTE_ARRAY") return ofValue((value) => ofBytes(value, isBytes));
  const isFloat = type === "FLOAT" || type === "DOUBLE" || logical?.type === "FLOAT16";
  return isFloat ? (value) => (typeof value === "number" ? float(value) : plainValue(value)) : plainValue;
}

/** `convert` for what may be null. */
function ofValue(convert: Convert): Convert {
  return (value) => (value === null || value === undefined ? null : convert(value));
}

/** How many of a time's units a millisecond has; null for what is no time of the day. */
function timeUnit({
  converted_type: converted,
  logical_type: logical,
}: SchemaTree["element"]): number | null {
  const unit = logical?.type === "TIME" ? logical.unit : converted;
  if (logical?.type !== "TIME" && !/^TIME_/.test(unit ?? "")) return null;
  return unit?.endsWith("NANOS") ? 1e6 : unit?.endsWith("MICROS") ? 1e3 : 1;
}

function ofBytes(value: unknown, isBytes: boolean): unknown {
  const text = value instanceof Uint8Array ? textOf(value) : value;
  return text instanceof NotText && isBytes ? text.bytes : plainValue(text);
}

/** Bytes of the longest decimal, as Arrow has them. */
const maxDecimalBytes = 32;

/** The nearest float to a decimal without its point; where there are no digits behind that, the integer itself. */
function decimal(value: unknown, scale: number): unknown {
  let digits: bigint;
  if (value instanceof Uint8Array && value.length <= maxDecimalBytes) {
    digits = BigInt.asIntN(8 * value.length, BigInt(`0x0${Buffer.from(value).toString("hex")}`));
  } else if (typeof value === "bigint" || Number.isInteger(value)) digits = BigInt(value as bigint | number);
  else throw new ValueError(`expected decimals of at most ${maxDecimalBytes} bytes, got other values`);
  return scale === 0 ? plainValue(digits) : float(Number(`${digits}e${-scale}`));
}

function float(value: number): number | JsonNumber {
  return Number.isInteger(value) ? JsonNumber.float(value) : value;
}

function plainValue(value: unknown): unknown {
  if (value === undefined || value === null) return null;
  if (typeof value === "bigint") {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : JsonNumber.integer(value);
  }
  if (value instanceof NotText) throw new ValueError(notUtf8);
  if (value instanceof JsonError) throw new ValueError(`expected JSON, but ${value.message}`);
  if (typeof value !== "object" || value instanceof Date || value instanceof Uint8Array) return value;
  if (value instanceof JsonNumber) return value;
  if (Array.isArray(value)) return value.map(plainValue);
  const entries = Object.entries(value).map(([key, entry]) => [key, plainValue(entry)] as const);
  return markedAs(value, objectOf(entries));
}
