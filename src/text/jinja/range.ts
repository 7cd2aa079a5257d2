/** `range(...)`, limited as in Jinja's sandbox. */
import { bind, toIndex } from "./arguments.ts";
import { type Arguments, PyObject, PythonError, type Value } from "./values.ts";

const longest = 100_000;

/** Integers from `start` up to, without, `stop`. */
export class Range extends PyObject {
  override readonly typeName: string = "range";
  readonly #start: number;
  readonly #stop: number;
  readonly #step: number;

  constructor(start: number, stop: number, step: number) {
    super();
    this.#start = start;
    this.#stop = stop;
    this.#step = step;
  }

  override length(): number {
    return Math.max(0, Math.ceil((this.#stop - this.#start) / this.#step));
  }

  override truth(): boolean {
    return this.length() > 0;
  }

  /** The member at `index`, which may count from the end. */
  at(index: number): Value | undefined {
    const place = index < 0 ? index + this.length() : index;
    return place >= 0 && place < this.length() ? BigInt(this.#start + place * this.#step) : undefined;
  }

  override *iterate(): Generator<Value, void, undefined> {
    for (let i = 0; i < this.length(); i++) yield BigInt(this.#start + i * this.#step);
  }

  override repr(): string {
    const step = this.#step === 1 ? "" : `, ${this.#step}`;
    return `range(${this.#start}, ${this.#stop}${step})`;
  }
}

/** Jinja's `range`. @throws PythonError when it is longer than the sandbox allows */
export function range(call: Arguments): Value {
  if (call.kwargs.size > 0) throw new PythonError("TypeError", "range() takes no keyword arguments");
  const [first, second, third] = bind("range", call, ["/start!", "/stop", "/step"]);
  const step = toIndex(third, 1);
  if (step === 0) throw new PythonError("ValueError", "range() arg 3 must not be zero");
  const result =
    second === undefined
      ? new Range(0, toIndex(first, 0), 1)
      : new Range(toIndex(first, 0), toIndex(second, 0), step);
  if (result.length() <= longest) return result;
  throw new PythonError(
    "OverflowError",
    `Range too big. The sandbox blocks ranges larger than MAX_RANGE (${longest}).`,
  );
}
