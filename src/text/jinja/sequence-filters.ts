/** Jinja's filters on sequences. Those that are generators in Python are so here: they can be iterated once. */
import { bind, toIndex, toText } from "./arguments.ts";
import { getItem } from "./attributes.ts";
import { arithmetic, equals, iterate, order, sorted, truth, unique } from "./operators.ts";
import { str } from "./printing.ts";
import { Range } from "./range.ts";
import { callTest } from "./tests.ts";
import {
  type Arguments,
  codePoints,
  Dict,
  DictView,
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

type Apply = (name: string, value: Value, call: Arguments) => Value;
type Filter = (value: Value, call: Arguments, apply: Apply) => Value;

/** Reads `attribute`, such as "a.0.b", of a value. */
function attributeGetter(attribute: Value, fallback: Value = null): (value: Value) => Value {
  const text = textOf(attribute);
  const parts: Value[] =
    attribute === null
      ? []
      : text === null
        ? [attribute]
        : text.split(".").map((part) => (/^\d+$/.test(part) ? BigInt(part) : part));
  return (value) => {
    let found = value;
    for (const part of parts) {
      found = getItem(found, part);
      if (fallback !== null && found instanceof Undefined) found = fallback;
    }
    return found;
  };
}

/** What values are compared by: an attribute, in lower case unless case counts. */
function keyGetter(attribute: Value, caseSensitive: Value, fallback: Value = null): (value: Value) => Value {
  const get = attributeGetter(attribute, fallback);
  return (value) => foldCase(get(value), truth(caseSensitive));
}

function foldCase(value: Value, caseSensitive: boolean): Value {
  const text = caseSensitive ? null : textOf(value);
  return text === null ? value : text.toLowerCase();
}

function sort(value: Value, call: Arguments): Value {
  const [reverse = false, caseSensitive = false, attribute = null] = bind("sort", call, [
    "reverse",
    "case_sensitive",
    "attribute",
  ]);
  const names: Value[] = textOf(attribute)?.split(",") ?? [attribute];
  const getters = names.map((name) => keyGetter(name, caseSensitive));
  return sorted(iterate(value), (item) => getters.map((get) => get(item)), truth(reverse));
}

function dictSort(value: Value, call: Arguments): Value {
  const [caseSensitive = false, by = "key", reverse = false] = bind("dictsort", call, [
    "case_sensitive",
    "by",
    "reverse",
  ]);
  if (by !== "key" && by !== "value") {
    throw new PythonError("FilterArgumentError", 'You can only sort by either "key" or "value"');
  }
  if (!(value instanceof Dict)) {
    throw new PythonError("AttributeError", `'${typeName(value)}' object has no attribute 'items'`);
  }
  const pairs = [...value.entries()].map((pair) => new Tuple(pair));
  const key = (pair: Value): Value =>
    foldCase(sequenceOf(pair)?.[by === "key" ? 0 : 1] ?? null, truth(caseSensitive));
  return sorted(pairs, key, truth(reverse));
}

function extreme(name: "min" | "max"): Filter {
  const [operator, sign] = name === "min" ? ["<", -1] : [">", 1];
  return (value, call) => {
    const [caseSensitive = false, attribute = null] = bind(name, call, ["case_sensitive", "attribute"]);
    const key = keyGetter(attribute, caseSensitive);
    let best: { value: Value; key: Value } | null = null;
    for (const item of iterate(value)) {
      const candidate = { value: item, key: key(item) };
      if (best === null || order(candidate.key, best.key, operator) === sign) best = candidate;
    }
    return best === null ? new Undefined("No aggregated item, sequence was empty.") : best.value;
  };
}

function groupBy(value: Value, call: Arguments): Value {
  const [attribute = null, fallback = null, caseSensitive = false] = bind("groupby", call, [
    "attribute!",
    "default",
    "case_sensitive",
  ]);
  const key = keyGetter(attribute, caseSensitive, fallback);
  const shown = attributeGetter(attribute, fallback);
  const groups: { key: Value; items: Value[] }[] = [];
  for (const item of sorted(iterate(value), key, false)) {
    const itemKey = key(item);
    const last = groups.at(-1);
    if (last !== undefined && equals(last.key, itemKey)) last.items.push(item);
    else groups.push({ key: itemKey, items: [item] });
  }
  return groups.map(({ items }) => new Tuple([shown(items[0] ?? null), items], ["grouper", "list"]));
}

function map(value: Value, call: Arguments, apply: Apply): Value {
  return new OneShot(mapped(value, call, apply));
}

function* mapped(value: Value, call: Arguments, apply: Apply): Generator<Value, void, undefined> {
  if (!truth(value)) return;
  const [name, ...args] = call.args;
  if (name === undefined) {
    if (!call.kwargs.has("attribute")) {
      throw new PythonError("FilterArgumentError", "map requires a filter argument");
    }
    const [attribute = null, fallback = null] = bind("map", call, ["attribute", "default"]);
    const get = attributeGetter(attribute, fallback);
    for (const item of iterate(value)) yield get(item);
    return;
  }
  for (const item of iterate(value)) yield apply(toText(name, "filter"), item, { args, kwargs: call.kwargs });
}

function select(wanted: boolean, byAttribute: boolean): Filter {
  return (value, call) => new OneShot(selected(value, call, { wanted, byAttribute }));
}

interface Selection {
  wanted: boolean;
  byAttribute: boolean;
}

function* selected(
  value: Value,
  { args, kwargs }: Arguments,
  { wanted, byAttribute }: Selection,
): Generator<Value, void, undefined> {
  if (!truth(value)) return;
  const [attribute] = args;
  if (byAttribute && attribute === undefined) {
    throw new PythonError("FilterArgumentError", "Missing parameter for attribute name");
  }
  const get = byAttribute ? attributeGetter(attribute ?? null) : (item: Value) => item;
  const [name, ...rest] = byAttribute ? args.slice(1) : args;
  for (const item of iterate(value)) {
    const subject = get(item);
    const passes =
      name === undefined ? truth(subject) : callTest(toText(name, "test"), subject, { args: rest, kwargs });
    if (passes === wanted) yield item;
  }
}

function join(value: Value, call: Arguments): Value {
  const [separator = "", attribute = null] = bind("join", call, ["d", "attribute"]);
  const get = attributeGetter(attribute);
  return Array.from(iterate(value), (item) => str(get(item))).join(str(separator));
}

function reverse(value: Value, call: Arguments): Value {
  bind("reverse", call, []);
  const text = textOf(value);
  if (text !== null) return codePoints(text).reverse().join("");
  const items = [...iterate(value)].reverse();
  const names: Record<string, string> = { list: "list_reverseiterator", tuple: "reversed" };
  const isReversible =
    Array.isArray(value) || [Tuple, Dict, DictView, Range, Undefined].some((type) => value instanceof type);
  return isReversible ? new OneShot(items[Symbol.iterator](), names[typeName(value)] ?? "reversed") : items;
}

function* batches(value: Value, size: number, filler: Value): Generator<Value, void, undefined> {
  let batch: Value[] = [];
  for (const item of iterate(value)) {
    if (batch.length === size) {
      yield batch;
      batch = [];
    }
    batch.push(item);
  }
  if (batch.length === 0) return;
  if (filler !== null) while (batch.length < size) batch.push(filler);
  yield batch;
}

function* slices(value: Value, count: number, filler: Value): Generator<Value, void, undefined> {
  const items = [...iterate(value)];
  if (count === 0) throw new PythonError("ZeroDivisionError", "integer division or modulo by zero");
  const size = Math.floor(items.length / count);
  const longer = items.length - size * count;
  let start = 0;
  for (let i = 0; i < count; i++) {
    const end = start + size + (i < longer ? 1 : 0);
    const slice = items.slice(start, end);
    if (filler !== null && i >= longer) slice.push(filler);
    yield slice;
    start = end;
  }
}

/** `sum(values, start)`. Python sums floats with compensation from 3.12 on: sums that differ by it are refused. */
function sum(value: Value, call: Arguments): Value {
  const [attribute = null, start = 0n] = bind("sum", call, ["attribute", "start"]);
  if (textOf(start) !== null) {
    throw new PythonError("TypeError", "sum() can't sum strings [use ''.join(seq) instead]");
  }
  const get = attributeGetter(attribute);
  let total: Value = start;
  let lost = 0;
  for (const item of iterate(value)) {
    const next: Value = get(item);
    const before: Value = total;
    total = arithmetic("+", before, next);
    if (typeof total !== "number" || typeof before !== "number" || typeof next !== "number") continue;
    lost += Math.abs(before) >= Math.abs(next) ? before - total + next : next - total + before;
  }
  if (typeof total === "number" && Number.isFinite(lost) && total + lost !== total) {
    throw new UnsupportedError("a sum of floats that depends on the version of Python");
  }
  return total;
}

/** The first or last member; undefined of an empty sequence. */
function end(name: "first" | "last"): Filter {
  return (value, call) => {
    bind(name, call, []);
    if (name === "first") {
      for (const item of iterate(value)) return item;
    } else {
      if (value instanceof OneShot) {
        throw new PythonError("TypeError", `'${value.typeName}' object is not reversible`);
      }
      const last = [...iterate(value)].at(-1);
      if (last !== undefined) return last;
    }
    return new Undefined(`No ${name} item, sequence was empty.`);
  };
}

/** Filters on sequences, by name. */
export const sequenceFilters: Readonly<Record<string, Filter>> = {
  batch: (value, call) => {
    const [size, filler = null] = bind("batch", call, ["linecount!", "fill_with"]);
    return new OneShot(batches(value, toIndex(size, 0), filler));
  },
  dictsort: dictSort,
  first: end("first"),
  groupby: groupBy,
  join,
  last: end("last"),
  list: (value, call) => {
    bind("list", call, []);
    return [...iterate(value)];
  },
  map,
  max: extreme("max"),
  min: extreme("min"),
  reject: select(false, false),
  rejectattr: select(false, true),
  reverse,
  select: select(true, false),
  selectattr: select(true, true),
  slice: (value, call) => {
    const [count, filler = null] = bind("slice", call, ["slices!", "fill_with"]);
    return new OneShot(slices(value, toIndex(count, 0), filler));
  },
  sort,
  sum,
  unique: (value, call) => {
    const [caseSensitive = false, attribute = null] = bind("unique", call, ["case_sensitive", "attribute"]);
    return new OneShot(unique(iterate(value), keyGetter(attribute, caseSensitive)));
  },
};
