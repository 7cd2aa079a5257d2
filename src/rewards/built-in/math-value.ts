/** The value of a mathematical term at a point, in float64, and how far rounding may have moved it: little work, whatever it says. */
import type { Term } from "./math-term.ts";

/** Values of the symbols, by name. */
export type Point = ReadonlyMap<string, number>;

/** A value, and a bound of its error; the value is NaN where there is none. */
export interface Value {
  value: number;
  error: number;
}

const none: Value = { value: Number.NaN, error: 0 };

/** Rounding of one operation, relative: more than that of any function here. */
const rounding = 8 * Number.EPSILON;
/** Smaller numbers have fewer digits. */
const smallestNormal = 2 ** -1022;
/** A value that has a larger error, absolute below 1 and relative above, is none. */
const largestError = 1e-7;

const constants: Readonly<Record<string, number>> = {
  Pi: Math.PI,
  ExponentialE: Math.E,
  e: Math.E,
  PositiveInfinity: Number.POSITIVE_INFINITY,
  NegativeInfinity: Number.NEGATIVE_INFINITY,
};

const fold = (combine: (a: number, b: number) => number) => (values: readonly number[]) =>
  values.slice(1).reduce(combine, values[0] ?? Number.NaN);
const one = (of: (x: number) => number) => (values: readonly number[]) =>
  values.length === 1 ? of(values[0] ?? Number.NaN) : Number.NaN;
const two = (of: (x: number, y: number) => number) => (values: readonly number[]) =>
  values.length === 2 ? of(values[0] ?? Number.NaN, values[1] ?? Number.NaN) : Number.NaN;

const operators: Readonly<Record<string, (values: readonly number[]) => number>> = {
  Add: fold((a, b) => a + b),
  Subtract: fold((a, b) => a - b),
  Multiply: fold((a, b) => a * b),
  Divide: two((a, b) => a / b),
  Rational: two((a, b) => a / b),
  Negate: one((x) => -x),
  Power: two((a, b) => a ** b),
  Square: one((x) => x * x),
  Sqrt: one(Math.sqrt),
  Root: two(root),
  Abs: one(Math.abs),
  Floor: one(Math.floor),
  Ceil: one(Math.ceil),
  Exp: one(Math.exp),
  Ln: one(Math.log),
  Lb: one(Math.log2),
  Log: (values) =>
    values.length === 1 ? one(Math.log10)(values) : two((x, base) => Math.log(x) / Math.log(base))(values),
  Factorial: one(factorial),
  Binomial: two(binomial),
  Degrees: one((x) => x),
};

/** Operators that may give 0 of arguments none of which is 0. */
const sums: ReadonlySet<string> = new Set([
  "Add",
  "Subtract",
  "Floor",
  "Ceil",
  "Ln",
  "Lb",
  "Log",
  "Binomial",
]);

const trigonometry: Readonly<Record<string, (x: number) => number>> = {
  Sin: Math.sin,
  Cos: Math.cos,
  Tan: Math.tan,
  Cot: (x) => 1 / Math.tan(x),
  Sec: (x) => 1 / Math.cos(x),
  Csc: (x) => 1 / Math.sin(x),
  Arcsin: Math.asin,
  Arccos: Math.acos,
  Arctan: Math.atan,
  Sinh: Math.sinh,
  Cosh: Math.cosh,
  Tanh: Math.tanh,
};

/** The value of a term; NaN where it has none, such as that of a sum or an integral, or where float64 cannot hold it. */
export function valueAt(term: Term, point: Point): Value {
  if (term.kind === "number") return rounded(term.value);
  if (term.kind === "words") return none;
  if (term.kind === "symbol") {
    const given = point.get(term.name);
    return given === undefined ? rounded(constantOf(term.name) ?? Number.NaN) : { value: given, error: 0 };
  }
  const values = term.of.map((each) => valueAt(each, point));
  const [first] = term.of;
  const circular = Object.hasOwn(trigonometry, term.name) ? trigonometry[term.name] : undefined;
  if (circular !== undefined) {
    const isDegrees = first?.kind === "operator" && first.name === "Degrees";
    const angles = isDegrees ? [applied(one(radians), values)] : values;
    return applied(one(circular), angles);
  }
  const operator = Object.hasOwn(operators, term.name) ? operators[term.name] : undefined;
  return operator === undefined ? none : applied(operator, values, !sums.has(term.name));
}

/** The value of a function, with the errors of its arguments carried over and that of its own rounding. */
function applied(of: (values: readonly number[]) => number, from: readonly Value[], scales = false): Value {
  const values = from.map(({ value }) => value);
  const value = of(values);
  if (!values.every(Number.isFinite)) return { value, error: 0 };
  // what overflows is not infinite, and what underflows not 0
  const isLost = scales && Math.abs(value) < smallestNormal && !values.includes(0);
  if (!Number.isFinite(value) || isLost) return none;
  const moved = from.map(({ error }, i) => {
    if (error === 0) return 0;
    const ends = [-error, error].map((by) => Math.abs(of(values.with(i, (values[i] ?? 0) + by)) - value));
    return Math.max(0, ...ends.filter((each) => !Number.isNaN(each)));
  });
  const isExact =
    Number.isSafeInteger(value) && from.every((each) => each.error === 0 && Number.isSafeInteger(each.value));
  const error = moved.reduce((sum, each) => sum + each, isExact ? 0 : rounding * Math.abs(value));
  return error > largestError * Math.max(1, Math.abs(value)) ? none : { value, error };
}

/** A number of the text, or a constant, as the nearest float64. */
function rounded(value: number): Value {
  const error = Number.isSafeInteger(value) || !Number.isFinite(value) ? 0 : rounding * Math.abs(value);
  return { value, error };
}

function radians(degrees: number): number {
  return (degrees * Math.PI) / 180;
}

function constantOf(name: string): number | undefined {
  return Object.hasOwn(constants, name) ? constants[name] : undefined;
}

/** The symbols of a term whose value is not fixed. */
export function symbolsOf(term: Term): string[] {
  if (term.kind === "symbol") return constantOf(term.name) === undefined ? [term.name] : [];
  return term.kind === "operator" ? term.of.flatMap(symbolsOf) : [];
}

function root(x: number, n: number): number {
  return x < 0 && n % 2 === 1 ? -((-x) ** (1 / n)) : n === 3 ? Math.cbrt(x) : x ** (1 / n);
}

function factorial(n: number): number {
  if (!Number.isInteger(n) || n < 0) return Number.NaN;
  // 171! is more than a number can hold
  if (n > 170) return Number.POSITIVE_INFINITY;
  let value = 1;
  for (let i = 2; i <= n; i++) value *= i;
  return value;
}

function binomial(n: number, k: number): number {
  if (!(Number.isInteger(n) && Number.isInteger(k)) || k < 0 || k > n || n > 1000) return Number.NaN;
  let value = 1;
  for (let i = 1; i <= k; i++) value = (value * (n - k + i)) / i;
  return Math.round(value);
}
