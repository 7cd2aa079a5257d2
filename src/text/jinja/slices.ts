/** Indexes and slices as Python counts them: from the end when negative, by code points in text. */
import { toIndex } from "./arguments.ts";
import { Range } from "./range.ts";
import {
  codePoints,
  Markup,
  PythonError,
  sequenceOf,
  Tuple,
  textOf,
  typeName,
  Undefined,
  UnsupportedError,
  type Value,
} from "./values.ts";

/** The start and end that optional arguments `start` and `end` of a str method mean for a text of `length`. */
export function indexRange(length: number, [start, end]: readonly (Value | undefined)[]): [number, number] {
  const place = (value: Value | undefined, usual: number): number => {
    const index = value === null ? usual : toIndex(value, usual);
    return index < 0 ? Math.max(0, index + length) : index;
  };
  return [place(start, 0), Math.min(place(end, length), length)];
}

/** The bounds of a slice; null or undefined where none is given. */
export interface Bounds {
  start: Value;
  stop: Value;
  step: Value;
}

/** `value[start:stop:step]`. */
export function slice(value: Value, bounds: Bounds): Value {
  const text = textOf(value);
  if (text !== null) {
    const part = pick(codePoints(text), bounds).join("");
    return value instanceof Markup ? new Markup(part) : part;
  }
  const items = sequenceOf(value);
  if (items !== null) return Array.isArray(value) ? pick(items, bounds) : new Tuple(pick(items, bounds));
  if (value instanceof Range) throw new UnsupportedError("a slice of a range (make it a list first)");
  if (value instanceof Undefined) throw value.failure();
  throw new PythonError("TypeError", `'${typeName(value)}' object is not subscriptable`);
}

function pick<T>(items: readonly T[], { start, stop, step }: Bounds): T[] {
  const by = bound(step) ?? 1;
  if (by === 0) throw new PythonError("ValueError", "slice step cannot be zero");
  const low = by > 0 ? 0 : -1;
  const high = by > 0 ? items.length : items.length - 1;
  const clamp = (value: number | null, usual: number): number => {
    if (value === null) return usual;
    return Math.min(Math.max(value < 0 ? value + items.length : value, low), high);
  };
  const from = clamp(bound(start), by > 0 ? low : high);
  const to = clamp(bound(stop), by > 0 ? high : low);
  const picked: T[] = [];
  for (let i = from; by > 0 ? i < to : i > to; i += by) picked.push(items[i] as T);
  return picked;
}

function bound(value: Value): number | null {
  if (value === null) return null;
  if (typeof value === "bigint" || typeof value === "boolean") return Number(value);
  throw new PythonError("TypeError", "slice indices must be integers or None or have an __index__ method");
}
