/** The variable `loop` inside a `for`. */
import { equals, iteratorOf, lengthOf } from "./operators.ts";
import {
  type Arguments,
  Callable,
  PyObject,
  PythonError,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from "./values.ts";

/** Renders the loop again over other values, one level deeper. */
export type Recurse = (iterable: Value, depth: number) => string;

/** The state of a loop. */
export class Loop extends PyObject {
  override readonly typeName: string = "LoopContext";
  readonly #iterable: Value;
  #iterator: Iterator<Value>;
  readonly #recurse: Recurse | null;
  readonly #depth0: number;
  #index0 = -1;
  #length: number | null = null;
  #after: Value | undefined;
  #current: Value | undefined;
  #before: Value | undefined;
  #changed: Tuple | null = null;

  constructor(iterable: Value, recurse: Recurse | null, depth0: number) {
    super();
    const iterator = iteratorOf(iterable);
    if (iterator === null)
      throw new PythonError("TypeError", `'${typeName(iterable)}' object is not iterable`);
    this.#iterable = iterable;
    this.#iterator = iterator;
    this.#recurse = recurse;
    this.#depth0 = depth0;
  }

  /** Moves on. @returns the next value, or undefined at the end */
  advance(): Value | undefined {
    const value = this.#peek();
    this.#after = undefined;
    if (value === undefined) return undefined;
    this.#index0++;
    this.#before = this.#current;
    this.#current = value;
    return value;
  }

  #peek(): Value | undefined {
    if (this.#after === undefined) {
      const step = this.#iterator.next();
      this.#after = step.done === true ? undefined : step.value;
    }
    return this.#after;
  }

  override length(): number {
    if (this.#length !== null) return this.#length;
    const known = lengthOf(this.#iterable);
    if (known === null) {
      const rest: Value[] = [];
      for (let step = this.#iterator.next(); step.done !== true; step = this.#iterator.next())
        rest.push(step.value);
      this.#iterator = rest[Symbol.iterator]();
      this.#length = rest.length + this.#index0 + 1 + (this.#after === undefined ? 0 : 1);
    } else {
      this.#length = known;
    }
    return this.#length;
  }

  override repr(): string {
    return `<LoopContext ${this.#index0 + 1}/${this.length()}>`;
  }

  override get call(): (call: Arguments) => Value {
    return ({ args }) => {
      if (this.#recurse !== null) return this.#recurse(args[0] ?? null, this.#depth0 + 1);
      throw new PythonError(
        "TypeError",
        "The loop must have the 'recursive' marker to be called recursively.",
      );
    };
  }

  override attribute(name: string): Value | undefined {
    const read = this.#attributes[name];
    return read === undefined ? undefined : read();
  }

  readonly #attributes: Readonly<Record<string, () => Value>> = Object.assign(Object.create(null), {
    index: () => BigInt(this.#index0 + 1),
    index0: () => BigInt(this.#index0),
    revindex: () => BigInt(this.length() - this.#index0),
    revindex0: () => BigInt(this.length() - this.#index0 - 1),
    first: () => this.#index0 === 0,
    last: () => this.#peek() === undefined,
    length: () => BigInt(this.length()),
    depth: () => BigInt(this.#depth0 + 1),
    depth0: () => BigInt(this.#depth0),
    previtem: () => found(this.#before, "there is no previous item"),
    nextitem: () => found(this.#peek(), "there is no next item"),
    cycle: () =>
      new Callable("cycle", ({ args }) => {
        if (args.length === 0) throw new PythonError("TypeError", "no items for cycling given");
        return args[this.#index0 % args.length] ?? null;
      }),
    changed: () =>
      new Callable("changed", ({ args }) => {
        const value = new Tuple(args);
        if (this.#changed !== null && equals(this.#changed, value)) return false;
        this.#changed = value;
        return true;
      }),
  } satisfies Record<string, () => Value>);
}

function found(value: Value | undefined, otherwise: string): Value {
  return value === undefined ? new Undefined(otherwise) : value;
}
