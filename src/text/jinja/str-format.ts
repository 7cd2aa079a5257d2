/** `text.format(...)` in Jinja's sandbox. */
import { formatValue } from "./format-spec.ts";
import { ascii, repr, str } from "./printing.ts";
import { type Arguments, PythonError, type Value } from "./values.ts";

/** How a field reaches into its value. */
export interface Access {
  attribute(value: Value, name: string): Value;
  item(value: Value, key: Value): Value;
}

interface Fields {
  call: Arguments;
  access: Access;
  /** Fields without a number so far; null once one had a number. */
  next: number | null;
}

/** `text.format(*args, **kwargs)`. */
export function format(text: string, call: Arguments, access: Access): string {
  return expand(text, { call, access, next: 0 }, 2);
}

function expand(text: string, fields: Fields, depth: number): string {
  if (depth < 0) throw new PythonError("ValueError", "Max string recursion exceeded");
  let result = "";
  let at = 0;
  while (at < text.length) {
    const c = text[at] ?? "";
    if ((c === "{" || c === "}") && text[at + 1] === c && depth === 2) {
      result += c;
      at += 2;
    } else if (c === "{") {
      const end = fieldEnd(text, at + 1);
      result += field(text.slice(at + 1, end), fields, depth);
      at = end + 1;
    } else if (c === "}") {
      throw new PythonError("ValueError", "Single '}' encountered in format string");
    } else {
      result += c;
      at++;
    }
  }
  return result;
}

function fieldEnd(text: string, from: number): number {
  let depth = 1;
  let inIndex = false;
  for (let i = from; i < text.length; i++) {
    const c = text[i];
    if (c === "[" && depth === 1) inIndex = true;
    if (c === "]") inIndex = false;
    if (inIndex) continue;
    if (c === "{") depth++;
    if (c === "}" && --depth === 0) return i;
  }
  const message =
    from === text.length ? "Single '{' encountered in format string" : "expected '}' before end of string";
  throw new PythonError("ValueError", message);
}

function field(text: string, fields: Fields, depth: number): string {
  const match = /^((?:[^[\]!:]|\[[^\]]*\])*)(?:!(.))?(?::(.*))?$/su.exec(text);
  if (match === null)
    throw new PythonError("ValueError", `expected ':' after conversion specifier in '{${text}}'`);
  const [, name = "", conversion, spec = ""] = match;
  const value = lookUp(name, fields);
  const conversions: Record<string, (value: Value) => string> = { s: str, r: repr, a: ascii };
  const convert = conversion === undefined ? (given: Value) => given : conversions[conversion];
  if (convert === undefined) {
    throw new PythonError("ValueError", `Unknown conversion specifier '${conversion}'`);
  }
  return formatValue(convert(value), expand(spec, fields, depth - 1));
}

function lookUp(name: string, fields: Fields): Value {
  const [first = ""] = /^[^.[]*/.exec(name) ?? [];
  let value = argument(first, fields);
  for (const [part, attribute, index] of name.slice(first.length).matchAll(/\.([^.[]+)|\[([^\]]+)\]|./gs)) {
    if (attribute !== undefined) value = fields.access.attribute(value, attribute);
    else if (index !== undefined)
      value = fields.access.item(value, /^\d+$/.test(index) ? BigInt(index) : index);
    else throw new PythonError("ValueError", `Empty attribute in format string at '${part}'`);
  }
  return value;
}

function argument(name: string, fields: Fields): Value {
  const { args, kwargs } = fields.call;
  if (name !== "" && !/^\d+$/.test(name)) {
    const value = kwargs.get(name);
    if (value === undefined) throw new PythonError("KeyError", repr(name));
    return value;
  }
  if (name === "" ? fields.next === null : (fields.next ?? 0) > 0) {
    throw new PythonError(
      "ValueError",
      "cannot switch between manual field specification and automatic field numbering",
    );
  }
  const index = name === "" ? (fields.next ?? 0) : Number(name);
  fields.next = name === "" ? index + 1 : null;
  const value = args[index];
  if (value === undefined) {
    throw new PythonError("IndexError", `Replacement index ${index} out of range for positional args tuple`);
  }
  return value;
}
