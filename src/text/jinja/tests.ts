/** Jinja's tests: `value is name(...)`. */
import { bind } from "./arguments.ts";
import { arithmetic, contains, equals, iteratorOf, lengthOf, order } from "./operators.ts";
import { str } from "./printing.ts";
import { Range } from "./range.ts";
import { isLower, isUpper } from "./string-methods.ts";
import {
  type Arguments,
  Dict,
  Markup,
  numberOf,
  PyObject,
  PythonError,
  sequenceOf,
  textOf,
  Undefined,
  UnsupportedError,
  type Value,
} from "./values.ts";

type Test = (value: Value, other: Value) => boolean;

function compare(operator: string, accept: (order: number) => boolean): Test {
  return (value, other) => {
    const result = order(value, other, operator);
    return result !== null && accept(result);
  };
}

function modulo(value: Value, by: Value): Value {
  return arithmetic("%", value, by);
}

const plain: Readonly<Record<string, (value: Value) => boolean>> = {
  boolean: (value) => typeof value === "boolean",
  callable: (value) => value instanceof Undefined || (value instanceof PyObject && value.call !== null),
  defined: (value) => !(value instanceof Undefined),
  escaped: (value) => value instanceof Markup,
  even: (value) => equals(modulo(value, 2n), 0n),
  false: (value) => value === false,
  float: (value) => typeof value === "number",
  integer: (value) => typeof value === "bigint",
  iterable: (value) => iteratorOf(value) !== null,
  lower: (value) => isLower(str(value)),
  mapping: (value) => value instanceof Dict,
  none: (value) => value === null,
  number: (value) => numberOf(value) !== null,
  odd: (value) => equals(modulo(value, 2n), 1n),
  sequence: isSequence,
  string: (value) => textOf(value) !== null,
  true: (value) => value === true,
  undefined: (value) => value instanceof Undefined,
  upper: (value) => isUpper(str(value)),
};

const unsupported = (name: string) => (): boolean => {
  throw new UnsupportedError(`the test ${name}`);
};

const withArgument: Readonly<Record<string, Test>> = {
  divisibleby: (value, by) => equals(modulo(value, by), 0n),
  eq: equals,
  equalto: equals,
  ne: (value, other) => !equals(value, other),
  in: (value, container) => contains(container, value),
  sameas: (value, other) => value === other,
  lt: compare("<", (sign) => sign < 0),
  lessthan: compare("<", (sign) => sign < 0),
  le: compare("<=", (sign) => sign <= 0),
  gt: compare(">", (sign) => sign > 0),
  greaterthan: compare(">", (sign) => sign > 0),
  ge: compare(">=", (sign) => sign >= 0),
  "==": equals,
  "!=": (value, other) => !equals(value, other),
  "<": compare("<", (sign) => sign < 0),
  "<=": compare("<=", (sign) => sign <= 0),
  ">": compare(">", (sign) => sign > 0),
  ">=": compare(">=", (sign) => sign >= 0),
};

function isSequence(value: Value): boolean {
  if (textOf(value) !== null || sequenceOf(value) !== null) return true;
  return (
    value instanceof Dict || value instanceof Range || (value instanceof Undefined && lengthOf(value) === 0)
  );
}

/** Whether Jinja has a test of this name. */
export function isTest(name: string): boolean {
  return (
    Object.hasOwn(plain, name) || Object.hasOwn(withArgument, name) || name === "filter" || name === "test"
  );
}

/** `value is name(...)`. */
export function callTest(name: string, value: Value, call: Arguments): boolean {
  if (Object.hasOwn(plain, name)) {
    bind(name, call, []);
    return plain[name]?.(value) === true;
  }
  if (Object.hasOwn(withArgument, name)) {
    const [other = null] = bind(name, call, ["/other!"]);
    return withArgument[name]?.(value, other) === true;
  }
  if (isTest(name)) return unsupported(name)();
  throw new PythonError("TemplateRuntimeError", `No test named '${name}'.`);
}
