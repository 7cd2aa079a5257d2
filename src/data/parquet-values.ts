/**
 * Values of Parquet columns as JSON would give them, by the file's schema: a field of a structure that is null is left
 * out, since Parquet writes every field of every row; numbers of float columns stay floats, 64-bit integers stay integers.
 */
import type { SchemaTree } from "hyparquet";

import { JsonError } from "../text/json.ts";
import { JsonNumber } from "../text/json-number.ts";
import { markedAs, markedIfDoubtful, objectOf } from "../text/key-order.ts";

/** Bytes that are not UTF-8, in the place of a text. */
export class NotText {
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  /** hyparquet asks for it when it is the key of a map. */
  toString(): never {
    throw new ValueError(notUtf8);
  }
}

/** The text "__proto__": as the key of a map hyparquet would set an object's prototype by it. */
export class ProtoKey {
  toString(): never {
    throw new ValueError('expected no key "__proto__" in a map');
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
  if (/^MAP/.test(element.converted_type ?? "") && children.length === 1) return map(child);
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
    const elements = (value: unknown): unknown => (Array.isArray(value) ? value : Object(value)[name]);
    return (value) => listOf(elements(value), each);
  }
  const each = single(only ?? item);
  if (only === undefined || (name !== "array" && name !== `${listName}_tuple`))
    return (value) => listOf(value, each);
  return (value) => listOf(value, (entry) => objectOf([[only.element.name, each(entry)]]));
}

function listOf(value: unknown, each: Convert): unknown {
  return Array.isArray(value) ? value.map(each) : (value ?? null);
}

function map(pairs: SchemaTree): Convert {
  const [, values] = pairs.children;
  const convert = values === undefined ? plainValue : converterOf(values);
  return (value) => {
    const entries = mapEntries(value, (_, entry) => convert(entry));
    return entries === null ? null : markedIfDoubtful(entries);
  };
}

function structure(fields: readonly SchemaTree[]): Convert {
  const converters = byName(fields);
  const names = [...converters.keys()];
  return (value) => mapEntries(value, (key, entry) => converters.get(key)?.(entry) ?? undefined, names);
}

/**
 * An object of the entries of `value` that `convert` gives something for; null for no value.
 *
 * @param names - its keys in their order
 */
function mapEntries(
  value: unknown,
  convert: (key: string, entry: unknown) => unknown,
  names: readonly string[] = Object.keys(Object(value)),
): Record<string, unknown> | null {
  if (typeof value !== "object" || value === null) return null;
  const given = new Map(Object.entries(value));
  const entries = names.map((key) => [key, convert(key, given.get(key))] as const);
  return markedAs(value, objectOf(entries.filter(([, entry]) => entry !== undefined)));
}

function leaf({ element }: SchemaTree): Convert {
  const { type, converted_type: converted, scale = 0 } = element;
  if (converted === "DECIMAL") {
    // hyparquet multiplies by a power of ten, which is off in the last digits.
    return (value) => (typeof value === "number" ? float(Number(value.toFixed(scale))) : plainValue(value));
  }
  // Columns of bytes that no one calls text (images) are none of ours, unless a row uses them.
  const isText = converted !== undefined || element.logical_type !== undefined;
  if (type === "BYTE_ARRAY" && !isText)
    return (value) => (value instanceof NotText ? value.bytes : plainValue(value));
  const isFloat = type === "FLOAT" || type === "DOUBLE" || element.logical_type?.type === "FLOAT16";
  return isFloat ? (value) => (typeof value === "number" ? float(value) : plainValue(value)) : plainValue;
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
  if (value instanceof ProtoKey) return "__proto__";
  if (value instanceof JsonError) throw new ValueError(`expected JSON, but ${value.message}`);
  if (typeof value !== "object" || value instanceof Date || value instanceof Uint8Array) return value;
  if (value instanceof JsonNumber) return value;
  if (Array.isArray(value)) return value.map(plainValue);
  return mapEntries(value, (_, entry) => plainValue(entry));
}
