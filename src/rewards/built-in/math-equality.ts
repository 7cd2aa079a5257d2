/** Whether two mathematical answers mean the same. */
import { areOneNumber, exactAt } from "./math-exact.ts";
import type { Term } from "./math-term.ts";
import { type Point, symbolsOf, type Value, valueAt } from "./math-value.ts";

/** Larger sets are compared by their form alone. */
const largestSet = 50;

/** What says something of a symbol, and so gives its value or values: x = 5, x ∈ [0, 1]. */
const assignments: ReadonlySet<string> = new Set(["Equal", "Element"]);

/** True where both have one form, or one value wherever they are evaluated; sets are compared without regard to order. */
export function areEqual(a: Term, b: Term): boolean {
  if (isAssignment(a) && !isNamed(b, a)) return areEqual(assigned(a), b);
  if (isAssignment(b) && !isNamed(a, b)) return areEqual(a, assigned(b));
  if (a.kind === "words" || b.kind === "words") return areWords(a, b);
  return haveOneForm(a, b) || isOfOne(a, b) || isOfOne(b, a) || haveOneValue(a, b);
}

function haveOneForm(a: Term, b: Term): boolean {
  if (a.kind !== "operator" || b.kind !== "operator") return false;
  if (a.name !== b.name || a.of.length !== b.of.length) return false;
  if (a.name === "Set") return areSets(a.of, b.of);
  return areLists(a.of, b.of) || (a.name === "Equal" && areLists(a.of, b.of.toReversed()));
}

/** Whether `set` is one whose members all equal `other`, which is none: one value written in several forms, as 1/2 or 50 %. */
function isOfOne(set: Term, other: Term): boolean {
  if (set.kind !== "operator" || set.name !== "Set" || set.of.length === 0 || set.of.length > largestSet)
    return false;
  return !isNamed(set, other) && set.of.every((each) => areEqual(each, other));
}

function isAssignment(term: Term): boolean {
  return (
    term.kind === "operator" &&
    assignments.has(term.name) &&
    term.of.length === 2 &&
    term.of[0]?.kind === "symbol"
  );
}

/** Whether both are the same operator. */
function isNamed(a: Term, b: Term): boolean {
  return a.kind === "operator" && b.kind === "operator" && a.name === b.name;
}

function assigned(term: Term): Term {
  const [, value] = isAssignment(term) && term.kind === "operator" ? term.of : [];
  return value ?? term;
}

function areLists(a: readonly Term[], b: readonly Term[]): boolean {
  return a.every((each, i) => {
    const other = b[i];
    return other !== undefined && areEqual(each, other);
  });
}

function areSets(a: readonly Term[], b: readonly Term[]): boolean {
  if (a.length > largestSet) return areLists(a, b);
  const left = [...b];
  return a.every((each) => {
    const found = left.findIndex((other) => areEqual(each, other));
    if (found >= 0) left.splice(found, 1);
    return found >= 0;
  });
}

function areWords(a: Term, b: Term): boolean {
  const [one, other] = [spelt(a), spelt(b)];
  return one !== null && one === other;
}

/** A term as words are compared with it: the letter of a choice, a name, a number; null for what is no word. */
function spelt(term: Term): string | null {
  if (term.kind === "words") return plain(term.text);
  if (term.kind === "symbol") return plain(term.name);
  if (term.kind === "number") return String(term.exact ?? term.value);
  // a word without \text is read as a product of its letters
  const isWord = term.name === "Multiply" && term.of.every(({ kind }) => kind === "symbol");
  return isWord ? term.of.map(spelt).join("") : null;
}

/** Without case, spaces and full stops; nor parentheses around the whole, as in "(A)". */
function plain(text: string): string {
  return text
    .toLowerCase()
    .replace(/\s+|\.(?!\d)/g, "")
    .replace(/^\(([^()]*)\)$/, "$1");
}

/**
 * Whether both have the same value at each of some fixed points where either has one, and there is such a point. Where one of them has
 * a value at no point, as (-1)^n and n! have, the points are whole numbers, of which two must be such.
 */
function haveOneValue(a: Term, b: Term): boolean {
  const symbols = [...new Set([...symbolsOf(a), ...symbolsOf(b)])].sort();
  const points = pointsFor(symbols);
  const hasValue = (term: Term) => points.some((point) => !Number.isNaN(valueAt(term, point).value));
  if (symbols.length === 0 || (hasValue(a) && hasValue(b))) return agreements(a, b, points) > 0;
  return agreements(a, b, wholePointsFor(symbols)) > 1;
}

/** The number of points at which both have the same value; 0 where they differ at one. */
function agreements(a: Term, b: Term, points: readonly Point[]): number {
  const isRounded = hasDecimal(a) || hasDecimal(b);
  let compared = 0;
  for (const point of points) {
    const [exact, other] = [exactAt(a, point), exactAt(b, point)];
    const [x, y] = [valueAt(a, point), valueAt(b, point)];
    const areExact = exact !== null && other !== null;
    if (!areExact && Number.isNaN(x.value) && Number.isNaN(y.value)) continue;
    if (!(areExact ? areOneNumber(exact, other) : isClose(x, y, isRounded))) return 0;
    compared++;
  }
  return compared;
}

/** Whether two values differ by no more than rounding: their own, or that of a decimal in the text. */
function isClose({ value: x, error }: Value, { value: y, error: other }: Value, isRounded: boolean): boolean {
  if (x === y) return true;
  if (!Number.isFinite(x) || !Number.isFinite(y)) return false;
  const decimals = isRounded ? Math.min(5e-7, 1e-3 * Math.max(Math.abs(x), Math.abs(y))) : 0;
  return Math.abs(x - y) <= Math.max(decimals, error + other);
}

/** Six decimals are compared where one of the answers is a rounded number. */
function hasDecimal(term: Term): boolean {
  if (term.kind === "number") return term.isDecimal;
  return term.kind === "operator" && term.of.some(hasDecimal);
}

/** Points at which no two symbols are equal, some of them on both sides of 0 and of 1. */
function pointsFor(symbols: readonly string[]): Point[] {
  if (symbols.length === 0) return [new Map()];
  return [0.31, 1.37, 2.63, -0.61, -1.87].map(
    (start) => new Map(symbols.map((name, i) => [name, start + (i * start) / 7 + i * 0.0361])),
  );
}

/** Whole numbers, of which now the first symbols are the smaller ones, now the last. */
function wholePointsFor(symbols: readonly string[]): Point[] {
  return [3, 4, 5, 7, 8].map((start) => {
    const inOrder = start % 2 === 1 ? symbols : symbols.toReversed();
    return new Map(inOrder.map((name, i) => [name, start + 2 * i]));
  });
}
