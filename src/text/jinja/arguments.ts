/** Binds the arguments of a call to parameters, with Python's errors. */
import { type Arguments, PythonError, textOf, typeName, type Value } from "./values.ts";

/**
 * The arguments of a call in the order of `names`; undefined where none is given.
 *
 * @param names - names of the parameters. One that ends in "!" has to be given; one that begins with "/" has no name
 *   that a caller could use
 */
export function bind(
  name: string,
  { args, kwargs }: Arguments,
  names: readonly string[],
): (Value | undefined)[] {
  if (args.length > names.length) {
    throw new PythonError(
      "TypeError",
      `${name}() takes at most ${names.length} arguments (${args.length} given)`,
    );
  }
  const plain = names.map((parameter) => parameter.replace(/!$/, ""));
  const values: (Value | undefined)[] = plain.map((_, i) => args[i]);
  for (const [key, value] of kwargs) {
    const at = plain.indexOf(key);
    if (at < 0) throw new PythonError("TypeError", `${name}() got an unexpected keyword argument '${key}'`);
    if (at < args.length)
      throw new PythonError("TypeError", `${name}() got multiple values for argument '${key}'`);
    values[at] = value;
  }
  names.forEach((parameter, i) => {
    if (parameter.endsWith("!") && values[i] === undefined) {
      throw new PythonError(
        "TypeError",
        `${name}() missing required argument '${plain[i]?.replace("/", "")}'`,
      );
    }
  });
  return values;
}

/** `value` as an int that fits a JavaScript number. @throws PythonError for anything else */
export function toIndex(value: Value | undefined, usual: number): number {
  if (value === undefined) return usual;
  if (typeof value === "boolean") return Number(value);
  if (typeof value !== "bigint") {
    throw new PythonError("TypeError", `'${typeName(value)}' object cannot be interpreted as an integer`);
  }
  return Number(value);
}

/** `value` as text. @throws PythonError for anything else */
export function toText(value: Value | undefined, name: string): string {
  const text = value === undefined ? null : textOf(value);
  if (text !== null) return text;
  throw new PythonError("TypeError", `${name} argument must be str, not ${typeName(value ?? null)}`);
}
