/**
 * Python's values as chat templates meet them. None, bool, int, float, str and list are JavaScript's null, boolean,
 * bigint, number, string and array; everything else is an object with the few protocols that Jinja asks for.
 */

/** Any value of a template. */
export type Value = null | boolean | bigint | number | string | Value[] | PyObject;

/** Arguments of a call. */
export interface Arguments {
  args: readonly Value[];
  kwargs: ReadonlyMap<string, Value>;
}

/** What Python or Jinja would raise: rendering stops. */
export class PythonError extends Error {
  /** Python's class of the error, such as TypeError. */
  readonly type: string;

  constructor(type: string, message: string) {
    super(message);
    this.type = type;
  }
}

/** The template uses something of Jinja or Python that is not available here. */
export class UnsupportedError extends Error {
  constructor(what: string) {
    super(`${what} is not supported in chat templates here`);
  }
}

/** A value with Python's protocols: truth, length, iteration, text and attributes. */
export abstract class PyObject {
  /** Python's name of the type. */
  abstract readonly typeName: string;

  /** What `bool()` gives. */
  truth(): boolean {
    return true;
  }

  /** What `len()` gives, or null where Python raises TypeError. */
  length(): number | null {
    return null;
  }

  /** What `iter()` gives, or null where Python raises TypeError. */
  iterate(): Iterator<Value> | null {
    return null;
  }

  /** What `repr()` gives. */
  repr(): string {
    throw new UnsupportedError(`printing a ${this.typeName} (Python writes its memory address)`);
  }

  /** The attribute `name`, or undefined where Python raises AttributeError. */
  attribute(_name: string): Value | undefined {
    return undefined;
  }

  /** What calling the value does, or null where Python raises TypeError. */
  get call(): ((call: Arguments) => Value) | null {
    return null;
  }
}

/** Jinja's Undefined: prints as nothing, is false, and fails when it is used. */
export class Undefined extends PyObject {
  override readonly typeName: string = "Undefined";
  readonly message: string;

  constructor(message: string) {
    super();
    this.message = message;
  }

  override truth(): boolean {
    return false;
  }

  override length(): number {
    return 0;
  }

  override iterate(): Iterator<Value> {
    return [][Symbol.iterator]();
  }

  override repr(): string {
    return "Undefined";
  }

  /** The error that using this value raises. */
  failure(): PythonError {
    return new PythonError("UndefinedError", this.message);
  }
}

/** Text that `escape` or `safe` marked; joining it with other text escapes that text. */
export class Markup extends PyObject {
  override readonly typeName: string = "Markup";
  readonly text: string;

  constructor(text: string) {
    super();
    this.text = text;
  }

  override truth(): boolean {
    return this.text !== "";
  }

  override length(): number {
    return codePoints(this.text).length;
  }

  override iterate(): Iterator<Value> {
    return codePoints(this.text)[Symbol.iterator]();
  }
}

/** A tuple. */
export class Tuple extends PyObject {
  override readonly typeName: string = "tuple";
  readonly items: readonly Value[];
  /** Names of the members, for the pairs of `groupby`. */
  readonly names: readonly string[];

  constructor(items: readonly Value[], names: readonly string[] = []) {
    super();
    this.items = items;
    this.names = names;
  }

  override truth(): boolean {
    return this.items.length > 0;
  }

  override length(): number {
    return this.items.length;
  }

  override iterate(): Iterator<Value> {
    return this.items[Symbol.iterator]();
  }

  override attribute(name: string): Value | undefined {
    return this.items[this.names.indexOf(name)];
  }
}

/** A dict: keys in order of insertion, equal keys as Python compares them. */
export class Dict extends PyObject {
  override readonly typeName: string = "dict";
  readonly #entries: Map<string, [Value, Value]> = new Map();

  /** A dict of text keys. */
  static of(entries: Iterable<readonly [string, Value]>): Dict {
    const dict = new Dict();
    for (const [key, value] of entries) dict.set(key, value);
    return dict;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: Value): Value | undefined {
    return this.#entries.get(hashKey(key))?.[1];
  }

  has(key: Value): boolean {
    return this.#entries.has(hashKey(key));
  }

  set(key: Value, value: Value): void {
    const hash = hashKey(key);
    const known = this.#entries.get(hash);
    if (known === undefined) this.#entries.set(hash, [key, value]);
    else known[1] = value;
  }

  entries(): IterableIterator<[Value, Value]> {
    return this.#entries.values();
  }

  keys(): Value[] {
    return [...this.#entries.values()].map(([key]) => key);
  }

  values(): Value[] {
    return [...this.#entries.values()].map(([, value]) => value);
  }

  override truth(): boolean {
    return this.size > 0;
  }

  override length(): number {
    return this.size;
  }

  override iterate(): Iterator<Value> {
    return this.keys()[Symbol.iterator]();
  }
}

/** What `keys()`, `values()` and `items()` of a dict give. */
export class DictView extends PyObject {
  override readonly typeName: "dict_keys" | "dict_values" | "dict_items";
  readonly dict: Dict;

  constructor(kind: "dict_keys" | "dict_values" | "dict_items", dict: Dict) {
    super();
    this.typeName = kind;
    this.dict = dict;
  }

  items(): Value[] {
    if (this.typeName === "dict_keys") return this.dict.keys();
    if (this.typeName === "dict_values") return this.dict.values();
    return [...this.dict.entries()].map((entry) => new Tuple(entry));
  }

  override truth(): boolean {
    return this.dict.size > 0;
  }

  override length(): number {
    return this.dict.size;
  }

  override iterate(): Iterator<Value> {
    return this.items()[Symbol.iterator]();
  }
}

/** A generator or iterator: it can be iterated once, and is true even when it yields nothing. */
export class OneShot extends PyObject {
  override readonly typeName: string;
  readonly #iterator: Iterator<Value>;

  constructor(iterator: Iterator<Value>, typeName = "generator") {
    super();
    this.typeName = typeName;
    this.#iterator = iterator;
  }

  override iterate(): Iterator<Value> {
    return this.#iterator;
  }
}

/** A function, bound method or type. */
export class Callable extends PyObject {
  override readonly typeName: string;
  readonly name: string;
  readonly #function: (call: Arguments) => Value;

  constructor(name: string, work: (call: Arguments) => Value, typeName = "builtin_function_or_method") {
    super();
    this.name = name;
    this.#function = work;
    this.typeName = typeName;
  }

  override get call(): (call: Arguments) => Value {
    return this.#function;
  }
}

/** Python's name for the type of `value`. */
export function typeName(value: Value): string {
  if (value === null) return "NoneType";
  if (Array.isArray(value)) return "list";
  if (value instanceof PyObject) return value.typeName;
  const names = { boolean: "bool", bigint: "int", number: "float", string: "str" };
  return names[typeof value as keyof typeof names];
}

/** A number for int, float and bool; null for anything else. */
export function numberOf(value: Value): bigint | number | null {
  if (typeof value === "boolean") return value ? 1n : 0n;
  return typeof value === "bigint" || typeof value === "number" ? value : null;
}

/** The text of a str, also of one that is marked safe; null for anything else. */
export function textOf(value: Value): string | null {
  if (typeof value === "string") return value;
  return value instanceof Markup ? value.text : null;
}

/** The members of a list or tuple; null for anything else. */
export function sequenceOf(value: Value): readonly Value[] | null {
  if (Array.isArray(value)) return value;
  return value instanceof Tuple ? value.items : null;
}

/** The characters of `text`, one code point each. */
export function codePoints(text: string): string[] {
  return hasSurrogates(text) ? Array.from(text) : text.split("");
}

/** Number of code points of `text`, which is what Python's `len` counts. */
export function countCodePoints(text: string): number {
  if (!hasSurrogates(text)) return text.length;
  let count = 0;
  for (const _ of text) count++;
  return count;
}

function hasSurrogates(text: string): boolean {
  return /[\uD800-\uDFFF]/.test(text);
}

const identities = new WeakMap<object, number>();
let nextIdentity = 0;

/** Equal for values that are equal and hashable in Python. @throws PythonError for lists and dicts */
export function hashKey(value: Value): string {
  const text = textOf(value);
  if (text !== null) return `s${text}`;
  if (value === null) return "none";
  if (typeof value === "boolean") return value ? "#1" : "#0";
  if (typeof value === "bigint") return `#${value}`;
  if (typeof value === "number") return `#${Number.isInteger(value) ? BigInt(value) : value}`;
  if (value instanceof Tuple) {
    const keys = value.items.map(hashKey);
    return `(${keys.map((key) => `${key.length}:${key}`).join("")})`;
  }
  if (value instanceof Undefined) return "undefined";
  const isView = value instanceof DictView && value.typeName !== "dict_values";
  if (Array.isArray(value) || value instanceof Dict || isView) {
    throw new PythonError("TypeError", `unhashable type: '${typeName(value)}'`);
  }
  const object = value as object;
  const id = identities.get(object) ?? nextIdentity++;
  identities.set(object, id);
  return `@${id}`;
}
