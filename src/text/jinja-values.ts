/**
 * Values of rows as values of the Jinja library, with numbers that are written as Python writes them.
 *
 * The library holds a number as a JavaScript number and writes it as JavaScript does: `1`, `1e-7`, and
 * 1234567890123456789 as its nearest neighbour. Where that differs from Python, an object stands for the number that
 * computes as the number and is written as Python's text.
 */
import { Environment } from "@huggingface/jinja";

import { JsonNumber, pythonFloat, rawJson } from "./json-number.ts";

/** A value as the library holds it. */
export type JinjaValue = ReturnType<Environment["set"]>;

type ValueClass = new (value: unknown) => JinjaValue;

/** The library's classes of values, which it does not export. */
const classes: Readonly<Record<"integer" | "float" | "string" | "boolean" | "list" | "object", ValueClass>> =
  {
    integer: classOf(1),
    float: classOf(0.5),
    string: classOf(""),
    boolean: classOf(true),
    list: classOf([]),
    object: classOf({}),
  };

function classOf(example: unknown): ValueClass {
  return new Environment().set("example", example).constructor as ValueClass;
}

/** Computes as a number, is written as `text`. */
class WrittenNumber {
  readonly text: string;
  readonly #value: number;

  constructor(text: string) {
    this.text = text;
    this.#value = Number(text);
  }

  valueOf(): number {
    return this.#value;
  }

  toString(): string {
    return this.text;
  }

  /** Called by the library for floats without a fraction. */
  toFixed(): string {
    return this.text;
  }

  toJSON(): unknown {
    return rawJson(this.text);
  }
}

/**
 * A function that turns values (JSON's, and `JsonNumber`s) into the library's. One for each render: equal numbers
 * become one object in it, by which the library compares them.
 */
export function valueConverter(): (value: unknown) => JinjaValue {
  const numerals = new Map<string, WrittenNumber>();
  const written = (kind: "integer" | "float", text: string): JinjaValue => {
    const known = numerals.get(text) ?? new WrittenNumber(text);
    numerals.set(text, known);
    const value = new classes[kind](known);
    // The library asks whether the value is true, and an object always is.
    if (known.valueOf() === 0) value.__bool__ = () => new classes.boolean(false) as never;
    return value;
  };
  const number = (value: number | JsonNumber): JinjaValue => {
    if (typeof value !== "number") return written(value.isFloat ? "float" : "integer", value.text);
    if (Number.isInteger(value)) return new classes.integer(value);
    const text = pythonFloat(value);
    return text === String(value) ? new classes.float(value) : written("float", text);
  };
  const convert = (value: unknown): JinjaValue => {
    if (value instanceof JsonNumber || Number.isFinite(value)) return number(value as number | JsonNumber);
    if (Array.isArray(value)) return new classes.list(value.map(convert));
    if (typeof value !== "object" || value === null) return scalar(value);
    return new classes.object(new Map(Object.entries(value).map(([key, entry]) => [key, convert(entry)])));
  };
  return convert;
}

function scalar(value: unknown): JinjaValue {
  if (typeof value === "string") return new classes.string(value);
  if (typeof value === "boolean") return new classes.boolean(value);
  return new Environment().set("scalar", value);
}
