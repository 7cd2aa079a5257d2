/**
 * Objects whose keys JavaScript puts into another order than the file has: keys that are whole numbers come first,
 * ascending. A chat template would write them so, and Python keeps their order. Such objects are marked where
 * they are read, and refused where a template would get them.
 */

/** Holds the first key out of order. Spreading an object keeps it, and nothing writes it. */
const mark: unique symbol = Symbol("key out of order");

interface Marked {
  [mark]?: string;
}

/** An object of `entries`, marked where its keys are not in their order. */
export function objectOf(entries: readonly (readonly [string, unknown])[]): Record<string, unknown> {
  const object: Record<string, unknown> = Object.fromEntries(entries);
  const key = Object.keys(object).find((name, i) => name !== entries[i]?.[0]);
  return key === undefined ? object : withMark(object, key);
}

/** `object`, marked as `source` is. */
export function markedAs(source: object, object: Record<string, unknown>): Record<string, unknown> {
  const key = (source as Marked)[mark];
  return key === undefined ? object : withMark(object, key);
}

function withMark(object: Record<string, unknown>, key: string): Record<string, unknown> {
  return Object.assign(object, { [mark]: key });
}

/** The key out of order of an object in `value`; null where none is marked. */
export function reorderedKeyIn(value: unknown): string | null {
  if (typeof value !== "object" || value === null) return null;
  const key = (value as Marked)[mark];
  if (key !== undefined) return key;
  for (const entry of Object.values(value)) {
    const found = reorderedKeyIn(entry);
    if (found !== null) return found;
  }
  return null;
}
