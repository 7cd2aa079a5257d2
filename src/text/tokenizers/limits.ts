/**
 * What a tokenizer.json may have. Published tokenizers stay far below; beyond, loading or tokenising would take long or fill the
 * memory. Bytes, nesting and members are limited before the file is parsed (`tokenizer-file-limits.ts`), the rest before it is used.
 */
import { isRecord } from "../../base/is-record.ts";
import { maxTokens } from "../tokenizer-file-limits.ts";
import type { JsonObject } from "../tokenizer-files.ts";
import { matchesOf, UnsupportedPart } from "./tokenizer-parts.ts";

/** Ids are below this: rows of an embedding. */
const maxId = 2 ** 24;
/** Normalizers, pre-tokenizers, post-processors and decoders, counted apart. */
const maxParts = 64;
/** Parts that write every byte as a character: two of them in a row make four of an umlaut. */
const maxByteLevels = 2;
/** Text in a part: what is put in for something else. */
const maxText = 1000;
/** A regular expression, and how often its counts repeat it. */
const maxPattern = 2000;
const maxRepeats = 10_000;
/** A token of a Unigram model, and a word of WordPiece: tokens are looked for from every character on. */
const maxTokenCharacters = 128;
const maxWord = 1000;
/** An added token, and all of them. */
const maxAddedCharacters = 1000;
const maxAdded = 100_000;

/** @throws UnsupportedPart for the first limit that the contents of a tokenizer.json break */
export function requireTokenizerLimits(json: JsonObject): void {
  for (const name of ["normalizer", "pre_tokenizer", "post_processor", "decoder"])
    requireParts(json[name], name);
  if (isRecord(json["model"])) requireModel(json["model"]);
  if (Array.isArray(json["added_tokens"])) requireAdded(json["added_tokens"]);
}

function atMost(most: number, got: number, what: string): void {
  if (got > most) throw new UnsupportedPart(`at most ${most} ${what} are read, it has ${got}`);
}

function requireParts(section: unknown, name: string): void {
  const types: unknown[] = [];
  const open: unknown[] = [section];
  for (let value = open.pop(); value !== undefined; value = open.pop()) {
    if (isRecord(value)) {
      if (typeof value["type"] === "string") types.push(value["type"]);
      requireTexts(value, name);
    }
    for (const each of insideOf(value)) open.push(each);
  }
  atMost(maxParts, types.length, `parts of the ${name}`);
  atMost(
    maxByteLevels,
    types.filter((type) => type === "ByteLevel").length,
    `parts ByteLevel of the ${name}`,
  );
}

/** What is inside a list or an object; `undefined` would end the search. */
function insideOf(value: unknown): unknown[] {
  const inside = typeof value === "object" && value !== null ? Object.values(value) : [];
  return inside.filter((each) => typeof each === "object" && each !== null);
}

function requireTexts(part: JsonObject, name: string): void {
  for (const [key, value] of Object.entries(part)) {
    if (typeof value !== "string") continue;
    if (key === "Regex" || key === "String") requirePattern(value, name);
    else atMost(maxText, value.length, `characters in "${key.slice(0, 100)}" of the ${name}`);
  }
}

function requirePattern(pattern: string, name: string): void {
  atMost(maxPattern, pattern.length, `characters in a pattern of the ${name}`);
  let repeats = 1;
  for (const [, from = "", to = from] of pattern.matchAll(/\{(\d*),?(\d*)\}/g)) {
    repeats *= Math.max(1, Number(from), Number(to));
  }
  atMost(maxRepeats, repeats, `repeats by the counts in a pattern of the ${name}`);
}

function requireModel(model: JsonObject): void {
  const { vocab, max_input_chars_per_word: longest } = model;
  if (typeof longest === "number")
    atMost(maxWord, longest, "characters in a word (max_input_chars_per_word)");
  if (isRecord(vocab)) {
    if (Object.values(vocab).every(isId)) return;
    const [token = "", id] = Object.entries(vocab).find(([, each]) => !isId(each)) ?? [];
    const [shown, got] = [token, id].map((value) => JSON.stringify(value).slice(0, 100));
    throw new UnsupportedPart(
      `the token ${shown} has the id ${got}; ids are whole numbers from 0 to ${maxId - 1}`,
    );
  }
  if (!Array.isArray(vocab)) return;
  atMost(maxTokens, vocab.length, "tokens");
  for (const entry of vocab) {
    const length = Array.isArray(entry) && typeof entry[0] === "string" ? entry[0].length : 0;
    atMost(maxTokenCharacters, length, "characters in a token");
  }
}

function isId(id: unknown): boolean {
  return typeof id === "number" && Number.isInteger(id) && id >= 0 && id < maxId;
}

function requireAdded(added: readonly unknown[]): void {
  atMost(maxAdded, added.length, "added tokens");
  for (const token of added) {
    const { content, id } = isRecord(token) ? token : {};
    if (typeof content === "string")
      atMost(maxAddedCharacters, content.length, "characters in an added token");
    if (typeof id === "number" && !isId(id))
      throw new UnsupportedPart(
        `an added token has the id ${id}; ids are whole numbers from 0 to ${maxId - 1}`,
      );
  }
}

/**
 * What `steps` make of `first`, one after the other.
 *
 * @param sizeOf - characters of a text, or tokens
 * @throws UnsupportedPart when one of them makes it far too long
 */
export function inOrder<T>(first: T, steps: readonly ((given: T) => T)[], sizeOf: (given: T) => number): T {
  const most = mostCharacters(sizeOf(first));
  return steps.reduce((changed, step) => {
    const next = step(changed);
    if (sizeOf(next) > most) throw tooLong();
    return next;
  }, first);
}

/** Characters that a text of so many may become: Unicode's normal forms make eighteen of one at most. */
function mostCharacters(before: number): number {
  return 20 * before + 10_000;
}

/** `text` with `content` for what `pattern` finds. @throws UnsupportedPart when that makes it far too long */
export function replaced(text: string, pattern: RegExp, content: string): string {
  let left = mostCharacters(text.length);
  const result: string[] = [];
  let from = 0;
  for (const match of matchesOf(text, pattern)) {
    left -= content.length;
    if (left < 0) throw tooLong();
    result.push(text.slice(from, match.index), content);
    from = match.index + match[0].length;
  }
  return result.join("") + text.slice(from);
}

/** The error for a text, or its tokens, that parts of tokenizer.json make far longer than it is. */
function tooLong(): UnsupportedPart {
  return new UnsupportedPart("its parts make a text more than twenty times longer");
}
