/** `format(value, spec)`: Python's format specifications for text and numbers. */
import { fixed, floatOf, general, integerText, reprFloat, scientific } from "./numbers.ts";
import { str } from "./printing.ts";
import {
  codePoints,
  countCodePoints,
  numberOf,
  PythonError,
  textOf,
  typeName,
  UnsupportedError,
  type Value,
} from "./values.ts";

interface Spec {
  fill: string;
  align: string;
  sign: string;
  alternate: boolean;
  width: number;
  grouping: string;
  precision: number | null;
  type: string;
}

const pattern = /^(?:(.)?([<>=^]))?([-+ ]?)(z?)(#?)(0?)(\d*)([,_]?)(?:\.(\d+))?([bcdeEfFgGnosxX%]?)$/su;

function parseSpec(text: string, value: Value): Spec {
  const match = pattern.exec(text);
  if (match === null) {
    throw new PythonError(
      "ValueError",
      `Invalid format specifier '${text}' for object of type '${typeName(value)}'`,
    );
  }
  const [, fill, align, sign = "", z = "", alternate, zero, width = "", grouping = "", precision, type = ""] =
    match;
  if (z !== "") throw new UnsupportedError("the option z of a format");
  const isZero = zero === "0";
  return {
    fill: fill ?? (isZero ? "0" : " "),
    // text, which has no sign, gets its zeros behind it
    align: align ?? (isZero && textOf(value) === null ? "=" : ""),
    sign,
    alternate: alternate === "#",
    width: Number(width),
    grouping,
    precision: precision === undefined ? null : Number(precision),
    type,
  };
}

/** `format(value, spec)`. */
export function formatValue(value: Value, text: string): string {
  if (text === "") return str(value);
  const plain = textOf(value);
  if (plain !== null) return formatText(plain, parseSpec(text, value));
  const number = numberOf(value);
  if (number === null) {
    throw new PythonError("TypeError", `unsupported format string passed to ${typeName(value)}.__format__`);
  }
  return formatNumber(number, parseSpec(text, value));
}

function formatText(text: string, spec: Spec): string {
  const isNumeric = spec.sign !== "" || spec.grouping !== "" || spec.alternate || spec.align === "=";
  if ((spec.type !== "" && spec.type !== "s") || isNumeric) {
    throw new PythonError(
      "ValueError",
      `Unknown format code '${spec.type || spec.align}' for object of type 'str'`,
    );
  }
  const cut = spec.precision === null ? text : codePoints(text).slice(0, spec.precision).join("");
  return pad(cut, "", spec, "<");
}

function formatNumber(number: bigint | number, spec: Spec): string {
  const isInteger = typeof number === "bigint";
  if (spec.type === "s") {
    const type = typeName(number);
    throw new PythonError("ValueError", `Unknown format code 's' for object of type '${type}'`);
  }
  const body =
    isInteger && "bcdnoxX".includes(spec.type) ? integerBody(number, spec) : floatBody(floatOf(number), spec);
  const isNegative = body.startsWith("-");
  const sign = isNegative ? "-" : spec.sign === "-" ? "" : spec.sign;
  const digits = isNegative ? body.slice(1) : body;
  // 0x and its like stand before what fills the width, as the sign does
  const prefix = spec.alternate ? (/^0[bBoxX]/.exec(digits)?.[0] ?? "") : "";
  return pad(digits.slice(prefix.length), sign + prefix, spec, ">");
}

function integerBody(number: bigint, spec: Spec): string {
  if (spec.type === "c" || spec.type === "n") throw new UnsupportedError(`the format code ${spec.type}`);
  if (spec.precision !== null) {
    throw new PythonError("ValueError", "Precision not allowed in integer format specifier");
  }
  const radix = { b: 2, o: 8, x: 16, X: 16 }[spec.type] ?? 10;
  if (radix !== 10 && spec.grouping === ",") {
    throw new PythonError("ValueError", `Cannot specify ',' with '${spec.type}'.`);
  }
  const size = number < 0n ? -number : number;
  const text = radix === 10 ? integerText(size) : size.toString(radix);
  const digits = group(text, radix === 10 ? 3 : 4, spec.grouping);
  const prefix = spec.alternate && radix !== 10 ? `0${spec.type.toLowerCase()}` : "";
  const signed = `${number < 0n ? "-" : ""}${prefix}${digits}`;
  return spec.type === "X" ? signed.toUpperCase() : signed;
}

function floatBody(number: number, spec: Spec): string {
  if ("bcdoxX".includes(spec.type) && spec.type !== "") {
    throw new PythonError("ValueError", `Unknown format code '${spec.type}' for object of type 'float'`);
  }
  if (spec.type === "n" || spec.alternate) throw new UnsupportedError(`the format code ${spec.type || "#"}`);
  const text = floatText(number, spec);
  const match = /^(-?)(\d+)(.*)$/s.exec(text);
  if (match === null) return text;
  return `${match[1]}${group(match[2] ?? "", 3, spec.grouping)}${match[3]}`;
}

function floatText(number: number, spec: Spec): string {
  const precision = spec.precision ?? 6;
  switch (spec.type) {
    case "":
      return spec.precision === null ? reprFloat(number) : shortFloat(number, spec.precision);
    case "e":
      return scientific(number, precision);
    case "E":
      return scientific(number, precision).toUpperCase();
    case "f":
      return fixed(number, precision);
    case "F":
      return fixed(number, precision).toUpperCase();
    case "g":
      return general(number, precision);
    case "G":
      return general(number, precision).toUpperCase();
    default:
      return `${fixed(number * 100, precision)}%`;
  }
}

/** No type but a precision: like g, but with a digit behind the point. */
function shortFloat(number: number, precision: number): string {
  const digits = Math.max(precision, 1);
  const text = general(number, digits);
  if (!/^-?\d+$/.test(text)) return text;
  return text.replace("-", "").length < digits ? `${text}.0` : scientificShort(number, digits);
}

function scientificShort(number: number, digits: number): string {
  const [mantissa = "", power = ""] = scientific(number, digits - 1).split("e");
  return `${mantissa.includes(".") ? mantissa.replace(/\.?0+$/, "") : mantissa}e${power}`;
}

function group(digits: string, size: number, separator: string): string {
  if (separator === "") return digits;
  const first = digits.length % size || size;
  const rest = digits.slice(first).match(new RegExp(`.{${size}}`, "g")) ?? [];
  return [digits.slice(0, first), ...rest].join(separator);
}

function pad(body: string, sign: string, spec: Spec, usual: string): string {
  const align = spec.align === "" ? usual : spec.align;
  const missing = Math.max(0, spec.width - countCodePoints(sign + body));
  if (missing > 0 && spec.grouping !== "" && spec.fill === "0" && align === "=") {
    throw new UnsupportedError("a format with grouped digits and zeros in front");
  }
  if (align === "=") return sign + spec.fill.repeat(missing) + body;
  const left = align === ">" ? missing : align === "^" ? Math.floor(missing / 2) : 0;
  return spec.fill.repeat(left) + sign + body + spec.fill.repeat(missing - left);
}
