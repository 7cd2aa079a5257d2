/** Reference answers of the rows, for the built-in rewards that compare with them. */
import type { RewardInput } from "../reward-function.ts";
import { textOf } from "../reward-function.ts";

/** What a completion is compared with. */
export interface Reference {
  text: string;
  /** Whether the row has a number there, which has several spellings: 18 and 18.0. Its text has no exponent. */
  isNumber: boolean;
}

/**
 * A reward that compares each completion's text with the references of its row: one, or a list of which one must fit. A row
 * without a reference is not scored.
 *
 * @param compare - the reward for one reference; null: that reference is unusable
 */
export function compareWithReferences(
  { completions, columns }: RewardInput,
  column: string,
  compare: (completion: string, reference: Reference) => number | null,
): (number | null)[] {
  const references = columns[column];
  if (references === undefined) throw new Error(`the rows have no column "${column}"`);
  return completions.map((completion, i) => {
    const text = textOf(completion);
    const scores = referencesIn(references[i])
      .map((reference) => compare(text, reference))
      .filter((score) => score !== null);
    return scores.length === 0 ? null : Math.max(...scores);
  });
}

/** The references in a value: texts and numbers; an answer as messages counts as its text. */
function referencesIn(value: unknown): Reference[] {
  if (typeof value === "string") return [{ text: value, isNumber: false }];
  // pandas writes NaN where it has nothing
  if (typeof value === "bigint" || (typeof value === "number" && !Number.isNaN(value)))
    return [{ text: decimalText(value), isNumber: true }];
  if (!Array.isArray(value)) return [];
  if (value.length > 0 && value.every((entry) => typeof Object(entry).content === "string"))
    return [{ text: textOf(value), isNumber: false }];
  return value.flatMap((entry) => (Array.isArray(entry) ? [] : referencesIn(entry)));
}

/** A number in decimal digits without an exponent, which is no mathematics: 1e-7 is 0.0000001. */
function decimalText(value: number | bigint): string {
  const text = String(value);
  const [, sign = "", first, rest = "", exponent] = /^(-?)(\d)(?:\.(\d+))?e([+-]\d+)$/.exec(text) ?? [];
  if (first === undefined) return text;
  // JavaScript writes an exponent from 1e21, beyond all its digits, and below 1e-6
  const point = 1 + Number(exponent);
  const digits = `${first}${rest}`;
  return sign + (point > 0 ? digits.padEnd(point, "0") : `0.${"0".repeat(-point)}${digits}`);
}

/** Whether a text, without white space at its ends, is the reference: as text, or where that is a number the same number. */
export function isReference(
  found: string,
  { text, isNumber }: Reference,
  normal: (text: string) => string = (each) => each.trim(),
): boolean {
  if (normal(found) === normal(text)) return true;
  return isNumber && decimal.test(found.trim()) && distanceOf(found.trim(), text) === 0;
}

const decimal = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?$/;

/** How far apart two numbers in decimal digits are: whole ones of any length exactly, others as floats. */
export function distanceOf(one: string, other: string): number {
  const areWhole = [one, other].every((text) => /^[+-]?\d+$/.test(text));
  if (areWhole) return Math.abs(Number(BigInt(one) - BigInt(other)));
  const [a, b] = [Number(one), Number(other)];
  return a === b ? 0 : Math.abs(a - b);
}
