/** Values of rows as JSON and back: BigInts, dates and bytes, which rows of Parquet have and JSON lacks, come back as they were. */
import { parseNumbers, stringifyNumbers } from "../base/json-numbers.ts";

/** What the only key of an object begins with that stands for a value, and every key of a row's object that begins so. */
const tag = "preftune:";

/** `value` as JSON. */
export function stringifyValues(value: unknown): string {
  return stringifyNumbers(storable(value));
}

/** @throws {SyntaxError} when `text` is not what {@link stringifyValues} gives */
export function parseValues(text: string): unknown {
  const value = parseNumbers(text);
  // most rows have none: they are read without a look at each of their values
  return text.includes(tag) ? restored(value) : value;
}

function storable(value: unknown): unknown {
  if (typeof value === "bigint") return { [`${tag}integer`]: String(value) };
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Date) return { [`${tag}date`]: value.getTime() };
  if (value instanceof Uint8Array) return { [`${tag}bytes`]: Buffer.from(value).toString("base64") };
  if (Array.isArray(value)) return value.map(storable);
  const keyOf = (key: string): string => (key.startsWith(tag) ? tag + key : key);
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [keyOf(key), storable(entry)]));
}

function restored(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(restored);
  const [first] = Object.entries(value);
  if (first?.[0] === `${tag}integer`) return BigInt(String(first[1]));
  if (first?.[0] === `${tag}date`) return new Date(Number(first[1]));
  if (first?.[0] === `${tag}bytes`) return Uint8Array.from(Buffer.from(String(first[1]), "base64"));
  const keyOf = (key: string): string => (key.startsWith(tag) ? key.slice(tag.length) : key);
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [keyOf(key), restored(entry)]));
}
