/** `str()`, `repr()` and `json.dumps()` of values. */
import { compareText, escapeCode, reprText } from "./characters.ts";
import { integerText, reprFloat } from "./numbers.ts";
import {
  Dict,
  DictView,
  Markup,
  type PyObject,
  PythonError,
  sequenceOf,
  Tuple,
  textOf,
  typeName,
  Undefined,
  type Value,
} from "./values.ts";

/** `str(value)`, which is what `{{ value }}` writes. */
export function str(value: Value): string {
  const text = textOf(value);
  if (text !== null) return text;
  return value instanceof Undefined ? "" : repr(value);
}

/** `repr(value)`. */
export function repr(value: Value): string {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "bigint") return integerText(value);
  if (typeof value === "number") return reprFloat(value);
  if (typeof value === "string") return reprText(value);
  if (Array.isArray(value)) return `[${value.map(repr).join(", ")}]`;
  return reprObject(value);
}

function reprObject(value: PyObject): string {
  if (value instanceof Tuple) {
    return value.items.length === 1
      ? `(${value.items.map(repr).join("")},)`
      : `(${value.items.map(repr).join(", ")})`;
  }
  if (value instanceof Dict) {
    return `{${[...value.entries()].map(([key, item]) => `${repr(key)}: ${repr(item)}`).join(", ")}}`;
  }
  if (value instanceof DictView) return `${value.typeName}(${repr(value.items())})`;
  if (value instanceof Markup) return `Markup(${reprText(value.text)})`;
  return value.repr();
}

/** Settings of `tojson`, which are those of `json.dumps`. */
export interface JsonStyle {
  ensureAscii: boolean;
  /** What each level is indented by, or null for one line. */
  indent: string | null;
  itemSeparator: string;
  keySeparator: string;
  sortKeys: boolean;
}

/** `json.dumps(value, ...)`. @throws PythonError for values that are not JSON */
export function dumps(value: Value, style: JsonStyle, depth = 0): string {
  const text = textOf(value);
  if (text !== null) return jsonText(text, style.ensureAscii);
  if (value === null) return "null";
  if (typeof value === "boolean") return value ? "true" : "false";
  if (typeof value === "bigint") return integerText(value);
  if (typeof value === "number") return jsonFloat(value);
  const items = sequenceOf(value);
  if (items !== null) {
    return container(
      "[]",
      items.map((item) => dumps(item, style, depth + 1)),
      style,
      depth,
    );
  }
  if (value instanceof Dict) return dumpDict(value, style, depth);
  throw new PythonError("TypeError", `Object of type ${typeName(value)} is not JSON serializable`);
}

function dumpDict(dict: Dict, style: JsonStyle, depth: number): string {
  const entries = [...dict.entries()];
  if (style.sortKeys) entries.sort(([a], [b]) => compareKeys(a, b));
  const parts = entries.map(
    ([key, value]) =>
      jsonText(jsonKey(key), style.ensureAscii) + style.keySeparator + dumps(value, style, depth + 1),
  );
  return container("{}", parts, style, depth);
}

function container(brackets: string, parts: readonly string[], style: JsonStyle, depth: number): string {
  const [open = "", close = ""] = brackets;
  if (parts.length === 0) return brackets;
  if (style.indent === null) return open + parts.join(style.itemSeparator) + close;
  const inner = `\n${style.indent.repeat(depth + 1)}`;
  return `${open}${inner}${parts.join(style.itemSeparator + inner)}\n${style.indent.repeat(depth)}${close}`;
}

function compareKeys(a: Value, b: Value): number {
  const [x, y] = [textOf(a), textOf(b)];
  if (x !== null && y !== null) return compareText(x, y);
  const isNumber = (key: Value): key is boolean | bigint | number =>
    typeof key === "bigint" || typeof key === "number" || typeof key === "boolean";
  if (isNumber(a) && isNumber(b)) return a < b ? -1 : a > b ? 1 : 0;
  throw new PythonError(
    "TypeError",
    `'<' not supported between instances of '${typeName(a)}' and '${typeName(b)}'`,
  );
}

function jsonKey(key: Value): string {
  const text = textOf(key);
  if (text !== null) return text;
  if (key === null) return "null";
  if (typeof key === "boolean") return key ? "true" : "false";
  if (typeof key === "bigint") return integerText(key);
  if (typeof key === "number") return jsonFloat(key);
  throw new PythonError("TypeError", `keys must be str, int, float, bool or None, not ${typeName(key)}`);
}

function jsonFloat(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "Infinity" : "-Infinity";
  return reprFloat(value);
}

const jsonEscapes: Readonly<Record<string, string>> = {
  '"': '\\"',
  "\\": "\\\\",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\f": "\\f",
  "\b": "\\b",
};

function jsonText(text: string, ensureAscii: boolean): string {
  const pattern = ensureAscii ? /["\\]|[^ -~]/g : /["\\]|[^ -\uffff]/g;
  const unit = (c: string): string => jsonEscapes[c] ?? `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return `"${text.replace(pattern, unit)}"`;
}

/** `ascii(value)`: its repr with everything beyond ASCII escaped. */
export function ascii(value: Value): string {
  return Array.from(repr(value), (c) => {
    const code = c.codePointAt(0) ?? 0;
    return code < 0x80 ? c : escapeCode(code);
  }).join("");
}
