/**
 * Value types of configuration keys: what each accepts (zod), how that is said in words, and how it is read from a
 * command-line word.
 */

import { parse } from "yaml";
import { z } from "zod";
import { at } from "../base/at.ts";
import type { Bounds } from "../methods/method.ts";

/** What a key accepts. */
export interface ValueType<T> {
  schema: z.ZodType<T>;
  /** In words, to follow "expected". */
  expected: string;
  /** The value that `text`, typed on a command line, stands for; text that does not fit comes back as it is. */
  fromText(text: string): unknown;
}

const NUMBER = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i;

function numberFromText(text: string): unknown {
  return NUMBER.test(text.trim()) ? Number(text) : text;
}

function boundsInWords(bounds: Bounds): string {
  const parts: string[] = [];
  if (bounds.min !== undefined) parts.push(`at least ${bounds.min}`);
  if (bounds.above !== undefined) parts.push(`above ${bounds.above}`);
  if (bounds.max !== undefined) parts.push(`at most ${bounds.max}`);
  if (bounds.below !== undefined) parts.push(`below ${bounds.below}`);
  return parts.length === 0 ? "" : ` ${parts.join(" and ")}`;
}

function bounded(schema: z.ZodNumber, bounds: Bounds): z.ZodNumber {
  let out = schema;
  if (bounds.min !== undefined) out = out.min(bounds.min);
  if (bounds.max !== undefined) out = out.max(bounds.max);
  if (bounds.above !== undefined) out = out.gt(bounds.above);
  if (bounds.below !== undefined) out = out.lt(bounds.below);
  return out;
}

/** A finite number within `bounds`. */
export function number(bounds: Bounds = {}): ValueType<number> {
  return {
    schema: bounded(z.number(), bounds),
    expected: `a number${boundsInWords(bounds)}`,
    fromText: numberFromText,
  };
}

/** A whole number within `bounds`. */
export function integer(bounds: Bounds = {}): ValueType<number> {
  return {
    schema: bounded(z.int(), bounds),
    expected: `a whole number${boundsInWords(bounds)}`,
    fromText: numberFromText,
  };
}

/** true or false. */
export function flag(): ValueType<boolean> {
  const words: Record<string, boolean> = { true: true, false: false };
  return {
    schema: z.boolean(),
    expected: "true or false",
    fromText: (text) => words[text.trim().toLowerCase()] ?? text,
  };
}

/** Text that is not empty, optionally of a given form. */
export function text(expected: string = "a non-empty string", pattern: RegExp = /\S/): ValueType<string> {
  return { schema: z.string().regex(pattern), expected, fromText: (typed) => typed };
}

/** One of a few words. */
export function choice<const T extends string>(words: readonly T[]): ValueType<T> {
  const quoted = words.map((word) => `"${word}"`);
  return {
    schema: z.enum(words) as unknown as z.ZodType<T>,
    expected: quoted.length === 1 ? at(quoted, 0) : `one of ${quoted.join(", ")}`,
    fromText: (typed) => typed,
  };
}

/** `type`, or null (typed as `null`). */
export function optional<T>(type: ValueType<T>): ValueType<T | null> {
  return {
    schema: type.schema.nullable(),
    expected: `${type.expected}, or null`,
    fromText: (typed) => (typed.trim() === "null" ? null : type.fromText(typed)),
  };
}

/** A list of names: JSON, or separated by commas, on a command line. */
export function names(expected: string): ValueType<string[]> {
  return { schema: z.array(z.string().min(1)), expected, fromText: listFromText };
}

/** A list of names or one fixed word that stands for a list. */
export function namesOr<const W extends string>(word: W, expected: string): ValueType<string[] | W> {
  return {
    schema: z.union([z.literal(word), z.array(z.string().min(1)).min(1)]) as unknown as z.ZodType<
      string[] | W
    >,
    expected,
    fromText: (typed) => (typed.trim() === word ? word : listFromText(typed)),
  };
}

/** Text as YAML (JSON is YAML too), or null where it is none. */
export function yamlOrNull(typed: string): unknown {
  try {
    return parse(typed, { version: "1.2", uniqueKeys: true, maxAliasCount: 0 });
  } catch {
    return null;
  }
}

/** Text as JSON, or null where it is none. */
export function jsonOrNull(typed: string): unknown {
  try {
    return JSON.parse(typed);
  } catch {
    return null;
  }
}

function listFromText(typed: string): unknown {
  if (typed.trim().startsWith("[")) return jsonOrNull(typed) ?? typed;
  return typed
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}
