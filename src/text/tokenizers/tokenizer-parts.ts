/** Reading the parts of tokenizer.json: their types, members and patterns, with errors that name what is not available. */
import { escapeRegExp } from "../../base/escape-regexp.ts";
import { isRecord } from "../../base/is-record.ts";
import type { JsonObject } from "../tokenizer-files.ts";
import { classes } from "./library.ts";
import { foreignConstruct } from "./pattern-syntax.ts";

/** A piece of a text. */
export interface Piece {
  text: string;
  /** Whether it stands at the very beginning of the text that is tokenised. */
  isFirst: boolean;
}

/** Something in tokenizer.json that is not available here. The message continues "Expected ..., but: ". */
export class UnsupportedPart extends Error {}

/** The member `key` of `part` as a list of parts. */
export function partsOf(part: JsonObject, key: string): JsonObject[] {
  const value = part[key];
  if (Array.isArray(value) && value.every(isRecord)) return value;
  throw new UnsupportedPart(`${String(part["type"])} has no list "${key}"`);
}

/** The part in `value`, or null. @throws UnsupportedPart when it is neither an object nor null */
export function partOrNull(value: unknown, name: string): JsonObject | null {
  if (value === null || value === undefined) return null;
  if (isRecord(value)) return value;
  throw new UnsupportedPart(`the ${name} is not an object`);
}

/** The error for a text that no token of the vocabulary stands for. */
export function noUnknownToken(): UnsupportedPart {
  return new UnsupportedPart("the vocabulary has no unknown token, and a text is not in it");
}

/** The error for a part of an unknown type. */
export function unknownPart(kind: string, part: JsonObject): UnsupportedPart {
  return new UnsupportedPart(`the ${kind} ${JSON.stringify(part["type"])?.slice(0, 100)} is not supported`);
}

/** What `makers` makes of a part. @throws UnsupportedPart for a type that is not among them */
export function made<T>(
  makers: Readonly<Record<string, (part: JsonObject) => T>>,
  part: JsonObject,
  kind: string,
): T {
  const { type } = part;
  const make = typeof type === "string" && Object.hasOwn(makers, type) ? makers[type] : undefined;
  if (make === undefined) throw unknownPart(kind, part);
  return make(part);
}

/** A member that is text. */
export function textMember(part: JsonObject, key: string, usual: string): string {
  const value = part[key];
  return typeof value === "string" ? value : usual;
}

/** What stands for a space in Metaspace: one character. */
export function markOf(part: JsonObject): string {
  const mark = textMember(part, "replacement", "▁");
  if (Array.from(mark).length === 1) return mark;
  throw new UnsupportedPart("the replacement of Metaspace is not one character");
}

/** A member that is true or false. */
export function flagMember(part: JsonObject, key: string, usual: boolean): boolean {
  const value = part[key];
  return typeof value === "boolean" ? value : usual;
}

/** A member that is a whole number. */
export function countMember(part: JsonObject, key: string, usual: number): number {
  const value = part[key];
  return typeof value === "number" && Number.isInteger(value) && value >= 0 ? value : usual;
}

/**
 * The pattern `{"String": ...}` or `{"Regex": ...}` of a part, for all its matches. The tokenizers library
 * turns Oniguruma's syntax into JavaScript's.
 *
 * @throws UnsupportedPart for none, the empty text, and what JavaScript would match otherwise
 */
export function patternOf(part: JsonObject): RegExp {
  const pattern = isRecord(part["pattern"]) ? part["pattern"] : { String: part["pattern"] };
  const { String: text, Regex: source } = pattern;
  const type = String(part["type"]);
  if (text === "") throw new UnsupportedPart(`the pattern of ${type} is the empty text`);
  if (typeof text === "string") return textPattern(text);
  if (typeof source !== "string") throw new UnsupportedPart(`${type} has no pattern`);
  const foreign = foreignConstruct(source);
  if (foreign !== null) throw new UnsupportedPart(`${foreign} in the pattern of ${type} is not supported`);
  return new classes.SplitPreTokenizer({ type: "Split", pattern: { Regex: source }, behavior: "Isolated" })
    .pattern;
}

/** A text as a pattern that finds it. */
export function textPattern(text: string): RegExp {
  return new RegExp(escapeRegExp(text), "gu");
}

/**
 * The matches of `pattern` in `text`, as Oniguruma finds them: V8 finds empty ones inside a surrogate pair too, and right
 * at the end of the match before.
 */
export function* matchesOf(text: string, pattern: RegExp): Generator<RegExpExecArray, void, undefined> {
  let last = -1;
  for (const match of text.matchAll(pattern)) {
    const { index } = match;
    if (match[0] === "" && (index === last || isInsidePair(text, index))) continue;
    yield match;
    last = index + match[0].length;
  }
}

function isInsidePair(text: string, index: number): boolean {
  return index > 0 && (text.codePointAt(index - 1) ?? 0) > 0xff_ff;
}

/** White space as Rust's `char::is_whitespace` has it. JavaScript's \s has U+FEFF too and lacks U+0085. */
export const space: RegExp = /\p{White_Space}/gu;

/** Punctuation as the Rust tokenizers have it. */
export const punctuation: RegExp = /[\p{P}!-/:-@[-`{-~]/gu;
