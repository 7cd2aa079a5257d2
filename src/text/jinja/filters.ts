/** Jinja's filters by name: those on text, those on sequences, and the rest, which are here. */
import { bind, toIndex } from "./arguments.ts";
import { getAttribute, hasAttribute } from "./attributes.ts";
import { floatOf, parseFloatText, parseInteger, roundFloat, roundInteger, truncate } from "./numbers.ts";
import { arithmetic, len, signed, truth } from "./operators.ts";
import { dumps, str } from "./printing.ts";
import { sequenceFilters } from "./sequence-filters.ts";
import { textFilters } from "./text-filters.ts";
import {
  type Arguments,
  Dict,
  numberOf,
  OneShot,
  PythonError,
  sequenceOf,
  Tuple,
  textOf,
  typeName,
  Undefined,
  UnsupportedError,
  type Value,
} from "./values.ts";

/** What a filter does. `apply` calls another filter by its name. */
export type Filter = (value: Value, call: Arguments, apply: ApplyFilter) => Value;

/** Calls the filter `name`. */
export type ApplyFilter = (name: string, value: Value, call: Arguments) => Value;

/** Filters of Jinja that are not available here. */
export const unsupportedFilters: ReadonlySet<string> = new Set([
  "filesizeformat",
  "pprint",
  "random",
  "striptags",
  "urlize",
  "wordwrap",
  "xmlattr",
]);

const otherFilters: Readonly<Record<string, Filter>> = {
  abs: (value, call) => {
    bind("abs", call, []);
    const number = numberOf(value);
    if (number !== null) return number < 0 || Object.is(number, -0) ? signed("-", number) : number;
    if (value instanceof Undefined)
      throw new PythonError("TypeError", "bad operand type for abs(): 'Undefined'");
    throw new PythonError("TypeError", `bad operand type for abs(): '${typeName(value)}'`);
  },
  attr: (value, call) => {
    const [name = null] = bind("attr", call, ["name!"]);
    const attribute = textOf(name);
    if (attribute === null) throw new PythonError("TypeError", "attribute name must be string");
    return hasAttribute(value, attribute)
      ? getAttribute(value, attribute)
      : new Undefined(`'${typeName(value)} object' has no attribute '${attribute}'`);
  },
  count: length,
  d: usual,
  default: usual,
  float: (value, call) => {
    const [otherwise = 0] = bind("float", call, ["default"]);
    return toFloat(value) ?? otherwise;
  },
  int: (value, call) => {
    const [otherwise = 0n, base] = bind("int", call, ["default", "base"]);
    return toInteger(value, toIndex(base, 10)) ?? otherwise;
  },
  items: (value, call) => {
    bind("items", call, []);
    return new OneShot(itemPairs(value));
  },
  length,
  round,
  tojson: toJson,
};

function length(value: Value, call: Arguments): Value {
  bind("len", call, []);
  return BigInt(len(value));
}

function usual(value: Value, call: Arguments): Value {
  const [otherwise = "", boolean = false] = bind("default", call, ["default_value", "boolean"]);
  return value instanceof Undefined || (truth(boolean) && !truth(value)) ? otherwise : value;
}

function* itemPairs(value: Value): Generator<Value, void, undefined> {
  if (value instanceof Undefined) return;
  if (!(value instanceof Dict)) throw new PythonError("TypeError", "Can only get item pairs from a mapping.");
  for (const pair of value.entries()) yield new Tuple(pair);
}

/** `float(value)`, or null where Python raises TypeError or ValueError. */
function toFloat(value: Value): number | null {
  if (value instanceof Undefined) throw value.failure();
  const text = textOf(value);
  if (text !== null) return parseFloatText(text);
  const number = numberOf(value);
  return number === null ? null : floatOf(number);
}

/** `int(value)`, by way of a float where needed, or null where Python raises TypeError or ValueError. */
function toInteger(value: Value, base: number): bigint | null {
  if (value instanceof Undefined) throw value.failure();
  const text = textOf(value);
  if (text !== null) {
    const integer = parseInteger(text, base);
    if (integer !== null) return integer;
    const float = parseFloatText(text);
    return float === null || !Number.isFinite(float) ? null : truncate(float);
  }
  const number = numberOf(value);
  if (typeof number !== "number") return number;
  return Number.isNaN(number) ? null : truncate(number);
}

function round(value: Value, call: Arguments): Value {
  const [precision, method = "common"] = bind("round", call, ["precision", "method"]);
  const digits = toIndex(precision, 0);
  if (method !== "common" && method !== "ceil" && method !== "floor") {
    throw new PythonError("FilterArgumentError", "method must be common, ceil or floor");
  }
  if (method === "common") {
    const number = numberOf(value);
    if (number === null) {
      if (value instanceof Undefined) throw new PythonError("TypeError", "Undefined cannot be rounded");
      throw new PythonError("TypeError", `type ${typeName(value)} doesn't define __round__ method`);
    }
    return typeof number === "bigint" ? roundInteger(number, digits) : roundFloat(number, digits);
  }
  const unit = arithmetic("**", 10n, BigInt(digits));
  const scaled = arithmetic("*", value, unit);
  const whole =
    typeof scaled === "number"
      ? truncate(method === "ceil" ? Math.ceil(scaled) : Math.floor(scaled))
      : scaled;
  return arithmetic("/", whole, unit);
}

/** transformers' own `tojson`: `json.dumps` without the escapes for HTML. */
function toJson(value: Value, call: Arguments): Value {
  const [ensureAscii = false, indent = null, separators = null, sortKeys = false] = bind("tojson", call, [
    "ensure_ascii",
    "indent",
    "separators",
    "sort_keys",
  ]);
  const text = textOf(indent);
  const level = indent === null ? null : (text ?? " ".repeat(Math.max(0, toIndex(indent, 0))));
  const [item, key] = separators === null ? [level === null ? ", " : ",", ": "] : separatorPair(separators);
  return dumps(value, {
    ensureAscii: truth(ensureAscii),
    indent: level,
    itemSeparator: item,
    keySeparator: key,
    sortKeys: truth(sortKeys),
  });
}

function separatorPair(value: Value): [string, string] {
  const [item = null, key = null, ...rest] = sequenceOf(value) ?? [];
  const pair = [textOf(item), textOf(key)];
  if (pair[0] != null && pair[1] != null && rest.length === 0) return [pair[0], pair[1]];
  throw new PythonError("TypeError", `separators must be a pair of texts, not ${str(value)}`);
}

const filters: Readonly<Record<string, Filter>> = Object.assign(
  Object.create(null),
  otherFilters,
  sequenceFilters,
  textFilters,
);

/** Whether a filter of this name is available. */
export function isFilter(name: string): boolean {
  return filters[name] !== undefined;
}

/** `value | name(...)`. */
export const applyFilter: ApplyFilter = (name, value, call) => {
  const filter = filters[name];
  if (unsupportedFilters.has(name)) throw new UnsupportedError(`the filter ${name}`);
  if (filter === undefined) throw new PythonError("TemplateRuntimeError", `No filter named '${name}'.`);
  return filter(value, call, applyFilter);
};
