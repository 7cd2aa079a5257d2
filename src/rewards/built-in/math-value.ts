/** The value of a mathematical term at a point, in float64: work in proportion to its length, whatever it says. */
import type { Term } from "./math-term.ts";

/** Values of the symbols, by name. */
export type Point = ReadonlyMap<string, number>;

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

/** The value of a term; NaN where it has none, such as that of a sum or an integral. */
export function valueAt(term: Term, point: Point): number {
  if (term.kind === "number") return term.value;
  if (term.kind === "words") return Number.NaN;
  if (term.kind === "symbol") return point.get(term.name) ?? constantOf(term.name) ?? Number.NaN;
  const values = term.of.map((each) => valueAt(each, point));
  const [first] = term.of;
  const circular = Object.hasOwn(trigonometry, term.name) ? trigonometry[term.name] : undefined;
  if (circular !== undefined) {
    const isDegrees = first?.kind === "operator" && first.name === "Degrees";
    return one((x) => circular(isDegrees ? (x * Math.PI) / 180 : x))(values);
  }
  const operator = Object.hasOwn(operators, term.name) ? operators[term.name] : undefined;
  return operator?.(values) ?? Number.NaN;
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
