/** Python's operators: truth, equality, order, membership, iteration and arithmetic. */
import { compareText } from "./characters.ts";
import { divideFloats, divideIntegers, floatOf, quotientOf } from "./numbers.ts";
import { percentFormat } from "./percent-format.ts";
import { str } from "./printing.ts";
import {
  codePoints,
  countCodePoints,
  Dict,
  DictView,
  hashKey,
  Markup,
  numberOf,
  PyObject,
  PythonError,
  sequenceOf,
  Tuple,
  textOf,
  typeName,
  Undefined,
  type Value,
} from "./values.ts";

/** `bool(value)`. */
export function truth(value: Value): boolean {
  if (value instanceof PyObject) return value.truth();
  if (Array.isArray(value)) return value.length > 0;
  return Boolean(value);
}

/** `len(value)`, or null where Python raises TypeError. */
export function lengthOf(value: Value): number | null {
  if (typeof value === "string") return countCodePoints(value);
  if (Array.isArray(value)) return value.length;
  return value instanceof PyObject ? value.length() : null;
}

/** `len(value)`. */
export function len(value: Value): number {
  const length = lengthOf(value);
  if (length !== null) return length;
  throw new PythonError("TypeError", `object of type '${typeName(value)}' has no len()`);
}

/** `iter(value)`, or null where Python raises TypeError. */
export function iteratorOf(value: Value): Iterator<Value> | null {
  if (typeof value === "string") return codePoints(value)[Symbol.iterator]();
  if (Array.isArray(value)) return value[Symbol.iterator]();
  return value instanceof PyObject ? value.iterate() : null;
}

/** The members of `value`, to be iterated once. */
export function* iterate(value: Value): Generator<Value, void, undefined> {
  const iterator = iteratorOf(value);
  if (iterator === null) throw new PythonError("TypeError", `'${typeName(value)}' object is not iterable`);
  for (let step = iterator.next(); step.done !== true; step = iterator.next()) yield step.value;
}

/** `a == b`. */
export function equals(a: Value, b: Value): boolean {
  const [x, y] = [numberOf(a), numberOf(b)];
  // biome-ignore lint/suspicious/noDoubleEquals: a bigint and a number are compared by value.
  if (x !== null && y !== null) return x == y;
  const [s, t] = [textOf(a), textOf(b)];
  if (s !== null || t !== null) return s === t;
  if (Array.isArray(a) && Array.isArray(b)) return equalItems(a, b);
  if (a instanceof Tuple && b instanceof Tuple) return equalItems(a.items, b.items);
  if (a instanceof Dict && b instanceof Dict) return equalDicts(a, b);
  if (a instanceof Undefined && b instanceof Undefined) return true;
  if (a instanceof DictView && b instanceof DictView) return equalViews(a, b);
  return a === b;
}

function equalItems(a: readonly Value[], b: readonly Value[]): boolean {
  return a.length === b.length && a.every((item, i) => equals(item, b[i] ?? null));
}

function equalDicts(a: Dict, b: Dict): boolean {
  if (a.size !== b.size) return false;
  for (const [key, value] of a.entries()) {
    const other = b.get(key);
    if (other === undefined || !equals(value, other)) return false;
  }
  return true;
}

function equalViews(a: DictView, b: DictView): boolean {
  if (a === b) return true;
  if (a.typeName === "dict_values" || b.typeName === "dict_values" || a.length() !== b.length()) return false;
  const others = b.items();
  return a.items().every((item) => others.some((other) => equals(item, other)));
}

/** -1, 0 or 1, or null for NaN. @throws PythonError where Python cannot order the two */
export function order(a: Value, b: Value, operator: string): number | null {
  const [x, y] = [numberOf(a), numberOf(b)];
  if (x !== null && y !== null) return orderNumbers(x, y);
  const [s, t] = [textOf(a), textOf(b)];
  if (s !== null && t !== null) return compareText(s, t);
  if (Array.isArray(a) && Array.isArray(b)) return orderItems(a, b, operator);
  if (a instanceof Tuple && b instanceof Tuple) return orderItems(a.items, b.items, operator);
  for (const side of [a, b]) if (side instanceof Undefined) throw side.failure();
  throw new PythonError(
    "TypeError",
    `'${operator}' not supported between instances of '${typeName(a)}' and '${typeName(b)}'`,
  );
}

function orderNumbers(a: bigint | number, b: bigint | number): number | null {
  if (Number.isNaN(a) || Number.isNaN(b)) return null;
  return a < b ? -1 : a > b ? 1 : 0;
}

function orderItems(a: readonly Value[], b: readonly Value[], operator: string): number | null {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const [x, y] = [a[i] ?? null, b[i] ?? null];
    if (!equals(x, y)) return order(x, y, operator);
  }
  return Math.sign(a.length - b.length);
}

/** `item in container`. */
export function contains(container: Value, item: Value): boolean {
  const text = textOf(container);
  if (text !== null) {
    const part = textOf(item);
    if (part !== null) return text.includes(part);
    throw new PythonError(
      "TypeError",
      `'in <string>' requires string as left operand, not ${typeName(item)}`,
    );
  }
  if (container instanceof Dict) return container.has(item);
  if (container instanceof DictView && container.typeName === "dict_keys") return container.dict.has(item);
  if (iteratorOf(container) === null) {
    throw new PythonError(
      "TypeError",
      `argument of type '${typeName(container)}' is not a container or iterable`,
    );
  }
  for (const member of iterate(container)) if (equals(member, item)) return true;
  return false;
}

/** Names of the binary operators in Jinja's order of precedence. */
export type Operator = "+" | "-" | "*" | "/" | "//" | "%" | "**";

/** `a operator b`. */
export function arithmetic(operator: Operator, a: Value, b: Value): Value {
  const special = sequenceArithmetic(operator, a, b);
  if (special !== undefined) return special;
  const [x, y] = [numberOf(a), numberOf(b)];
  if (x !== null && y !== null) {
    return typeof x === "bigint" && typeof y === "bigint"
      ? integerArithmetic(operator, x, y)
      : floatArithmetic(operator, floatOf(x), floatOf(y));
  }
  for (const side of [a, b]) if (side instanceof Undefined) throw side.failure();
  throw unsupportedOperands(operator, a, b);
}

function unsupportedOperands(operator: Operator, a: Value, b: Value): PythonError {
  if (operator === "+" && textOf(a) !== null) {
    return new PythonError("TypeError", `can only concatenate str (not "${typeName(b)}") to str`);
  }
  if (operator === "+" && sequenceOf(a) !== null) {
    const type = typeName(a);
    return new PythonError("TypeError", `can only concatenate ${type} (not "${typeName(b)}") to ${type}`);
  }
  const name = operator === "**" ? "** or pow()" : operator;
  return new PythonError(
    "TypeError",
    `unsupported operand type(s) for ${name}: '${typeName(a)}' and '${typeName(b)}'`,
  );
}

/** Python's sys.maxsize. */
const greatestIndex = 2n ** 63n - 1n;
/** Characters or members of a repeated sequence: what a string of V8 can hold. */
const mostRepeated = 2 ** 29 - 24;

/** What `+`, `*` and `%` do with text, lists and tuples; undefined where the operands are neither. */
function sequenceArithmetic(operator: Operator, a: Value, b: Value): Value | undefined {
  if (operator === "+") return concatenate(a, b);
  if (operator === "%" && textOf(a) !== null) {
    if (a instanceof Markup)
      throw new PythonError("TypeError", "% on text that is marked safe is not supported");
    return percentFormat(String(a), b);
  }
  return operator === "*" ? repeated(a, b) : undefined;
}

/** A text, list or tuple times an integer, either way round; undefined for other operands. */
function repeated(a: Value, b: Value): Value | undefined {
  const [sequence, factor] = textOf(a) !== null || sequenceOf(a) !== null ? [a, b] : [b, a];
  const times = typeof factor === "boolean" ? BigInt(factor) : factor;
  if (typeof times !== "bigint") return undefined;
  const text = textOf(sequence);
  if (text !== null) {
    const longer = text.repeat(repetitions(times, text.length));
    return sequence instanceof Markup ? new Markup(longer) : longer;
  }
  const items = sequenceOf(sequence);
  if (items === null) return undefined;
  const members = Array.from({ length: repetitions(times, items.length) }, () => items).flat();
  return Array.isArray(sequence) ? members : new Tuple(members);
}

/**
 * How often a sequence of `length` is repeated.
 *
 * @throws {PythonError} as Python does where the factor or the result is beyond what it can index or hold
 */
function repetitions(times: bigint, length: number): number {
  if (times > greatestIndex || times < -greatestIndex - 1n) {
    throw new PythonError("OverflowError", "cannot fit 'int' into an index-sized integer");
  }
  const count = length === 0 ? 0 : Math.max(0, Number(times));
  if (count * length > mostRepeated) throw new PythonError("MemoryError", "");
  return count;
}

function concatenate(a: Value, b: Value): Value | undefined {
  const [s, t] = [textOf(a), textOf(b)];
  if (s !== null && t !== null) {
    if (typeof a === "string" && typeof b === "string") return a + b;
    const safe = (value: Value, text: string): string => (value instanceof Markup ? text : escapeHtml(text));
    return new Markup(safe(a, s) + safe(b, t));
  }
  if (Array.isArray(a) && Array.isArray(b)) return [...a, ...b];
  if (a instanceof Tuple && b instanceof Tuple) return new Tuple([...a.items, ...b.items]);
  return undefined;
}

function integerArithmetic(operator: Operator, a: bigint, b: bigint): Value {
  switch (operator) {
    case "+":
      return a + b;
    case "-":
      return a - b;
    case "*":
      return a * b;
    case "/":
      return quotientOf(a, b);
    case "//":
      return divideIntegers(a, b).quotient;
    case "%":
      return divideIntegers(a, b).remainder;
    case "**":
      return b >= 0n ? a ** b : floatArithmetic(operator, floatOf(a), floatOf(b));
  }
}

function floatArithmetic(operator: Operator, a: number, b: number): Value {
  switch (operator) {
    case "+":
      return a + b;
    case "-":
      return a - b;
    case "*":
      return a * b;
    case "/":
      if (b === 0) throw new PythonError("ZeroDivisionError", "division by zero");
      return a / b;
    case "//":
      return divideFloats(a, b).quotient;
    case "%":
      return divideFloats(a, b).remainder;
    case "**":
      return power(a, b);
  }
}

function power(a: number, b: number): number {
  if (a === 0 && b < 0) throw new PythonError("ZeroDivisionError", "zero to a negative power");
  if (a === 1) return 1;
  const result = a ** b;
  if (Number.isNaN(result) && !Number.isNaN(a) && !Number.isNaN(b)) {
    if (Math.abs(a) === 1 && !Number.isFinite(b)) return 1;
    throw new PythonError("TypeError", "powers that are complex numbers are not supported");
  }
  if (!Number.isFinite(result) && Number.isFinite(a) && Number.isFinite(b)) {
    throw new PythonError("OverflowError", "(34, 'Numerical result out of range')");
  }
  return result;
}

/** `-a` or `+a`. */
export function signed(operator: "-" | "+", value: Value): Value {
  const number = numberOf(value);
  if (number !== null) return operator === "-" ? -number : number;
  if (value instanceof Undefined) throw value.failure();
  throw new PythonError("TypeError", `bad operand type for unary ${operator}: '${typeName(value)}'`);
}

/** A list sorted by the keys of its members, as `sorted` does it: equal ones stay in order. */
export function sorted(values: Iterable<Value>, keyOf: (value: Value) => Value, reverse: boolean): Value[] {
  const keyed = Array.from(values, (value) => ({ value, key: keyOf(value) }));
  const sign = reverse ? -1 : 1;
  keyed.sort((a, b) => sign * (order(a.key, b.key, "<") ?? 0));
  return keyed.map(({ value }) => value);
}

/** Members of `values` whose keys have not come before. */
export function* unique(values: Iterable<Value>, keyOf: (value: Value) => Value): Generator<Value> {
  const seen = new Set<string>();
  for (const value of values) {
    const key = hashKey(keyOf(value));
    if (seen.has(key)) continue;
    seen.add(key);
    yield value;
  }
}

/** `markupsafe.escape` on text. */
export function escapeHtml(text: string): string {
  const entities: Record<string, string> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    "'": "&#39;",
    '"': "&#34;",
  };
  return text.replace(/[&<>'"]/g, (c) => entities[c] ?? c);
}

/** `markupsafe.escape(value)`. */
export function escapeValue(value: Value): Markup {
  return value instanceof Markup ? value : new Markup(escapeHtml(str(value)));
}
