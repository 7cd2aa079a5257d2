/** `value.name` and `value[key]` as Jinja's immutable sandbox looks them up. */
import { bind, toIndex } from "./arguments.ts";
import { equals } from "./operators.ts";
import { repr } from "./printing.ts";
import { Range } from "./range.ts";
import { format } from "./str-format.ts";
import { stringMethod } from "./string-methods.ts";
import {
  type Arguments,
  Callable,
  codePoints,
  Dict,
  DictView,
  Markup,
  PyObject,
  PythonError,
  sequenceOf,
  Tuple,
  textOf,
  typeName,
  Undefined,
  UnsupportedError,
  type Value,
} from "./values.ts";

const mutators: Readonly<Record<string, readonly string[]>> = {
  list: ["append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"],
  dict: ["clear", "pop", "popitem", "setdefault", "update"],
};

/** Attributes that Python's types have and that are not available here. */
const unsupported: Readonly<Record<string, readonly string[]>> = {
  int: [
    "as_integer_ratio",
    "bit_count",
    "bit_length",
    "conjugate",
    "denominator",
    "from_bytes",
    "imag",
    "is_integer",
    "numerator",
    "real",
    "to_bytes",
  ],
  float: ["as_integer_ratio", "conjugate", "from_number", "fromhex", "hex", "imag", "is_integer", "real"],
  dict: ["fromkeys"],
  range: ["count", "index", "start", "step", "stop"],
  dict_keys: ["isdisjoint", "mapping"],
  dict_values: ["mapping"],
  dict_items: ["isdisjoint", "mapping"],
  generator: ["close", "send", "throw"],
};

/** `value.name`: the attribute, else the item of that name, else undefined. */
export function getAttribute(value: Value, name: string): Value {
  const attribute = safeAttribute(value, name);
  if (attribute !== undefined) return attribute;
  const item = itemOf(value, name);
  return item === undefined ? missing(value, name) : item;
}

/** `value[key]`: the item, else the attribute of that name, else undefined. */
export function getItem(value: Value, key: Value): Value {
  if (value instanceof Undefined) throw value.failure();
  const item = itemOf(value, key);
  if (item !== undefined) return item;
  const name = textOf(key);
  const attribute = name === null ? undefined : safeAttribute(value, name);
  return attribute === undefined ? missing(value, key) : attribute;
}

/** Whether Python's `hasattr(value, name)` is true. */
export function hasAttribute(value: Value, name: string): boolean {
  return safeAttribute(value, name) !== undefined;
}

/** `value(...)`. */
export function callValue(value: Value, call: Arguments): Value {
  if (value instanceof Undefined) throw value.failure();
  const work = value instanceof PyObject ? value.call : null;
  if (work !== null) return work(call);
  throw new PythonError("TypeError", `'${typeName(value)}' object is not callable`);
}

/** The undefined value for something that `value` does not have. */
function missing(value: Value, key: Value): Undefined {
  const owner = value === null ? "None" : `${typeName(value)} object`;
  const name = textOf(key);
  return new Undefined(
    name === null ? `${owner} has no element ${repr(key)}` : `'${owner}' has no attribute ${repr(name)}`,
  );
}

function safeAttribute(value: Value, name: string): Value | undefined {
  if (value instanceof Undefined) throw value.failure();
  const type = typeName(value);
  // Every Python object has such attributes, and the sandbox shows none of them.
  const isInternal = name.startsWith("__") && name.endsWith("__");
  if (isInternal || mutators[type]?.includes(name) === true) {
    return new Undefined(`access to attribute ${repr(name)} of '${type}' object is unsafe.`);
  }
  if (unsupported[type]?.includes(name) === true) throw new UnsupportedError(`${type}.${name}`);
  const attribute = attributeOf(value, name);
  return attribute !== undefined && name.startsWith("_")
    ? new Undefined(`access to attribute ${repr(name)} of '${type}' object is unsafe.`)
    : attribute;
}

function attributeOf(value: Value, name: string): Value | undefined {
  if (typeof value === "string") return methodOfText(value, name);
  if (value instanceof Markup) {
    if (name === "format" || stringMethod(name) !== undefined) {
      throw new UnsupportedError(`str.${name} on text marked safe`);
    }
    return undefined;
  }
  if (value instanceof Dict) return methodOfDict(value, name);
  const items = sequenceOf(value);
  const method = items === null ? undefined : methodOfSequence(items, name, Array.isArray(value));
  if (method !== undefined) return method;
  return value instanceof PyObject ? value.attribute(name) : undefined;
}

function methodOfText(text: string, name: string): Value | undefined {
  if (name === "format") {
    return new Callable(name, (call) => format(text, call, { attribute: getAttribute, item: getItem }));
  }
  const method = stringMethod(name);
  return method === undefined ? undefined : new Callable(name, (call) => method(text, call));
}

function methodOfDict(dict: Dict, name: string): Value | undefined {
  switch (name) {
    case "get":
      return new Callable(name, (call) => {
        const [key = null, usual = null] = bind("get", call, ["/key!", "/default"]);
        const value = dict.get(key);
        return value === undefined ? usual : value;
      });
    case "items":
    case "keys":
    case "values":
      return new Callable(name, (call) => {
        bind(`dict.${name}`, call, []);
        return new DictView(`dict_${name}`, dict);
      });
    case "copy":
      return new Callable(name, (call) => {
        bind("dict.copy", call, []);
        return copyOf(dict);
      });
    default:
      return undefined;
  }
}

/** A dict with the same entries. */
export function copyOf(dict: Dict): Dict {
  const copy = new Dict();
  for (const [key, value] of dict.entries()) copy.set(key, value);
  return copy;
}

function methodOfSequence(items: readonly Value[], name: string, isList: boolean): Value | undefined {
  if (name === "copy" && isList) return new Callable(name, () => [...items]);
  if (name === "count") {
    return new Callable(name, (call) => {
      const [wanted = null] = bind("count", call, ["/value!"]);
      return BigInt(items.filter((item) => equals(item, wanted)).length);
    });
  }
  if (name !== "index") return undefined;
  return new Callable(name, (call) => {
    const [wanted = null, start, end] = bind("index", call, ["/value!", "/start", "/stop"]);
    const place = (index: number): number => (index < 0 ? Math.max(0, index + items.length) : index);
    const [from, to] = [place(toIndex(start, 0)), place(toIndex(end, items.length))];
    const at = items.findIndex((item, i) => i >= from && i < to && equals(item, wanted));
    if (at >= 0) return BigInt(at);
    throw new PythonError("ValueError", `${repr(wanted)} is not in ${isList ? "list" : "tuple"}`);
  });
}

/** The member at `key`; undefined where Python raises TypeError or LookupError. */
function itemOf(value: Value, key: Value): Value | undefined {
  if (value instanceof Dict) return isHashable(key) ? value.get(key) : undefined;
  if (typeof key !== "bigint" && typeof key !== "boolean") return undefined;
  const index = Number(key);
  if (value instanceof Range) return value.at(index);
  if (value instanceof Markup) {
    const character = codePoints(value.text).at(index);
    return character === undefined ? undefined : new Markup(character);
  }
  if (typeof value === "string") return codePoints(value).at(index);
  return sequenceOf(value)?.at(index);
}

function isHashable(value: Value): boolean {
  if (value instanceof Tuple) return value.items.every(isHashable);
  return !(Array.isArray(value) || value instanceof Dict);
}
