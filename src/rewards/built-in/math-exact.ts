/** The exact value of a mathematical term, as a fraction of whole numbers of any length. */
import type { Term } from "./math-term.ts";
import type { Point } from "./math-value.ts";

/** A numerator and a denominator that is not 0, in no particular terms. */
export type Fraction = readonly [numerator: bigint, denominator: bigint];

/** Longer numbers are not computed: `10^{1000000000}` would take the memory of the machine. */
const mostBits = 20_000;
/** Larger factorials are longer than that. */
const largestFactorial = 2100n;
/** Computed once: a formula may have hundreds of them. */
const factorials = new Map<bigint, bigint>();

type Operation = (a: Fraction, b: Fraction) => Fraction | null;

const operations: Readonly<Record<string, Operation>> = {
  Add: ([a, b], [c, d]) => [a * d + c * b, b * d],
  Subtract: ([a, b], [c, d]) => [a * d - c * b, b * d],
  Multiply: ([a, b], [c, d]) => [a * c, b * d],
  Divide: quotient,
  Rational: quotient,
  Power: power,
  Binomial: binomial,
};

/** Functions of one argument. */
const functions: Readonly<Record<string, (of: Fraction) => Fraction | null>> = {
  Negate: ([a, b]) => [-a, b],
  Square: ([a, b]) => [a * a, b * b],
  Abs: ([a, b]) => [a < 0n ? -a : a, b < 0n ? -b : b],
  Factorial: factorial,
};

/**
 * The value of a term at a point as a fraction; null: it has none, is irrational or rounded (a decimal), or is too long. At a point
 * only symbols of whole value have one.
 */
export function exactAt(term: Term, point: Point): Fraction | null {
  if (term.kind === "number") return term.exact === null ? null : [term.exact, 1n];
  if (term.kind === "words") return null;
  if (term.kind === "symbol") {
    const value = point.get(term.name);
    return value !== undefined && Number.isSafeInteger(value) ? [BigInt(value), 1n] : null;
  }
  const [first = null, ...others] = term.of.map((each) => exactAt(each, point));
  if (first === null) return null;
  if (others.length === 0) return limited(own(functions, term.name)?.(first) ?? null);
  const operation = own(operations, term.name);
  return others.reduce<Fraction | null>(
    (value, other) =>
      operation === undefined || value === null || other === null ? null : limited(operation(value, other)),
    first,
  );
}

/** Whether two fractions are one number. */
export function areOneNumber([a, b]: Fraction, [c, d]: Fraction): boolean {
  return a * d === c * b;
}

function own<T>(table: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(table, name) ? table[name] : undefined;
}

function limited(value: Fraction | null): Fraction | null {
  return value === null || Math.max(...value.map(bitsOf)) > mostBits ? null : value;
}

function bitsOf(value: bigint): number {
  return value.toString(2).length;
}

function quotient([a, b]: Fraction, [c, d]: Fraction): Fraction | null {
  return c === 0n ? null : [a * d, b * c];
}

function power([a, b]: Fraction, [c, d]: Fraction): Fraction | null {
  if (c % d !== 0n) return null;
  const exponent = c / d;
  const size = exponent < 0n ? -exponent : exponent;
  if (exponent < 0n && a === 0n) return null;
  if (size > mostBits || Number(size) * Math.max(bitsOf(a), bitsOf(b)) > 2 * mostBits) {
    return unchanged(a, b, size);
  }
  return exponent < 0n ? [b ** size, a ** size] : [a ** size, b ** size];
}

/** A power of 0, 1 or -1, whatever the exponent. */
function unchanged(a: bigint, b: bigint, size: bigint): Fraction | null {
  if (b !== 1n || a < -1n || a > 1n) return null;
  return [a === -1n && size % 2n === 0n ? 1n : a, 1n];
}

function factorial([a, b]: Fraction): Fraction | null {
  if (a % b !== 0n) return null;
  const n = a / b;
  if (n < 0n || n > largestFactorial) return null;
  let value = factorials.get(n) ?? 1n;
  if (!factorials.has(n)) for (let i = 2n; i <= n; i++) value *= i;
  factorials.set(n, value);
  return [value, 1n];
}

function binomial([a, b]: Fraction, [c, d]: Fraction): Fraction | null {
  if (a % b !== 0n || c % d !== 0n) return null;
  const [n, k] = [a / b, c / d];
  if (k < 0n || k > n || n > largestFactorial) return null;
  const least = k > n - k ? n - k : k;
  let value = 1n;
  for (let i = 1n; i <= least; i++) value = (value * (n - least + i)) / i;
  return [value, 1n];
}
