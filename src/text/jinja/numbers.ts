/** Python's arithmetic and printing of numbers: integers without limit (bigint) and floats (number). */
import { maxIntegerDigits, pythonFloat } from "../json-number.ts";
import { pythonSpace, stripCharacters } from "./characters.ts";
import { PythonError, UnsupportedError } from "./values.ts";

/** `repr()` of a float. */
export function reprFloat(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  return pythonFloat(value);
}

function exponentText(exponent: number): string {
  return `${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`;
}

/** |value| · 10^digits rounded to an integer, ties to the even one, computed without error. */
function scaled(value: number, digits: number): bigint {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, Math.abs(value));
  const bits = view.getBigUint64(0);
  const biased = Number(bits >> 52n);
  const fraction = bits & 0xfffffffffffffn;
  const mantissa = biased === 0 ? fraction : fraction | 0x10000000000000n;
  const exponent = Math.max(biased, 1) - 1075;
  let above = mantissa * (exponent > 0 ? 1n << BigInt(exponent) : 1n);
  let below = exponent < 0 ? 1n << BigInt(-exponent) : 1n;
  if (digits >= 0) above *= 10n ** BigInt(digits);
  else below *= 10n ** BigInt(-digits);
  return divideHalfEven(above, below);
}

function divideHalfEven(above: bigint, below: bigint): bigint {
  const quotient = above / below;
  const twice = (above % below) * 2n;
  return twice > below || (twice === below && quotient % 2n === 1n) ? quotient + 1n : quotient;
}

function signOf(value: number): string {
  return value < 0 || Object.is(value, -0) ? "-" : "";
}

/** No float64 has a digit other than 0 further behind the point, nor as many significant ones. */
const mostDigits = 1074;

/** `digits` as a precision. */
function precisionOf(digits: number): number {
  if (digits > 2 ** 31 - 1) throw new PythonError("ValueError", "precision too big");
  return digits;
}

/** `format(value, ".Nf")`. */
export function fixed(value: number, digits: number): string {
  if (!Number.isFinite(value)) return reprFloat(value);
  if (digits > mostDigits) return fixed(value, mostDigits) + "0".repeat(precisionOf(digits) - mostDigits);
  const all = String(scaled(value, digits)).padStart(digits + 1, "0");
  const whole = all.slice(0, all.length - digits);
  return `${signOf(value)}${whole}${digits > 0 ? `.${all.slice(all.length - digits)}` : ""}`;
}

/** The digits and the exponent of `value` written with `digits` digits after the first. */
function exponential(value: number, digits: number): { text: string; exponent: number } {
  if (value === 0) return { text: "0".repeat(digits + 1), exponent: 0 };
  if (digits > mostDigits) {
    const { text, exponent } = exponential(value, mostDigits);
    return { text: text + "0".repeat(precisionOf(digits) - mostDigits), exponent };
  }
  let exponent = Number(Math.abs(value).toExponential().split("e")[1]);
  let text = String(scaled(value, digits - exponent));
  if (text.length > digits + 1) {
    exponent++;
    text = text.slice(0, -1);
  }
  return { text, exponent };
}

/** `format(value, ".Ne")`. */
export function scientific(value: number, digits: number): string {
  if (!Number.isFinite(value)) return reprFloat(value);
  const { text, exponent } = exponential(value, digits);
  return `${signOf(value)}${text[0]}${digits > 0 ? `.${text.slice(1)}` : ""}e${exponentText(exponent)}`;
}

/** `format(value, ".Ng")`. */
export function general(value: number, precision: number): string {
  if (!Number.isFinite(value)) return reprFloat(value);
  const digits = Math.min(Math.max(precisionOf(precision), 1), mostDigits);
  const { exponent } = exponential(value, digits - 1);
  const trim = (text: string): string => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);
  if (exponent >= -4 && exponent < digits) return trim(fixed(value, digits - 1 - exponent));
  const [mantissa = "", power = ""] = scientific(value, digits - 1).split("e");
  return `${trim(mantissa)}e${power}`;
}

/** `round(value, digits)` of a float. */
export function roundFloat(value: number, digits: number): number {
  if (!Number.isFinite(value) || digits > 340) return value;
  if (digits >= 0) return Number(fixed(value, digits));
  if (digits < -340) return value * 0;
  return Number(`${signOf(value)}${scaled(value, digits) * 10n ** BigInt(-digits)}`);
}

/** `round(value, digits)` of an int. */
export function roundInteger(value: bigint, digits: number): bigint {
  if (digits >= 0) return value;
  // 10^-digits is more than twice the value: a hexadecimal digit is worth 1.21 decimal ones
  if (-digits > 2 * value.toString(16).length) return 0n;
  const unit = 10n ** BigInt(-digits);
  const rounded = divideHalfEven(value < 0n ? -value : value, unit) * unit;
  return value < 0n ? -rounded : rounded;
}

/** What Python raises for a longer integer, in every base that is no power of two. */
export function tooManyDigits(): PythonError {
  const limit = `Exceeds the limit (${maxIntegerDigits} digits) for integer string conversion`;
  return new PythonError("ValueError", limit);
}

const tooLong = 10n ** BigInt(maxIntegerDigits);

/** `str(value)` of an int. */
export function integerText(value: bigint): string {
  if ((value < 0n ? -value : value) >= tooLong) throw tooManyDigits();
  return String(value);
}

/** `int(text, base)`, or null where Python raises ValueError. Base 0 reads the prefix. */
export function parseInteger(text: string, base = 10): bigint | null {
  const match = /^([+-]?)(.+)$/.exec(numeral(text).toLowerCase());
  if (match === null) return null;
  const [, sign = "", body = ""] = match;
  const bases: Record<string, number> = { "0b": 2, "0o": 8, "0x": 16 };
  const prefixed = bases[body.slice(0, 2)];
  const hasPrefix = prefixed !== undefined && (base === 0 || base === prefixed);
  const digits = hasPrefix ? body.slice(2).replace(/^_/, "") : body;
  if (!/^[0-9a-z]+(?:_[0-9a-z]+)*$/.test(digits)) return null;
  if (base === 0 && !hasPrefix && /^0[0_]*[1-9]/.test(digits)) return null;
  return digitsToInteger(digits, hasPrefix ? prefixed : base === 0 ? 10 : base, sign);
}

function digitsToInteger(text: string, base: number, sign: string): bigint | null {
  const digits = Array.from(text.replaceAll("_", ""), (digit) => Number.parseInt(digit, 36));
  if (digits.some((digit) => digit >= base)) return null;
  const bits = Math.log2(base);
  let total = 0n;
  if (Number.isInteger(bits)) {
    total = BigInt(`0b${digits.map((digit) => digit.toString(2).padStart(bits, "0")).join("")}`);
  } else {
    if (digits.length > maxIntegerDigits) return null;
    for (const digit of digits) total = total * BigInt(base) + BigInt(digit);
  }
  return sign === "-" ? -total : total;
}

/** `float(text)`, or null where Python raises ValueError. */
export function parseFloatText(text: string): number | null {
  const plain = numeral(text).toLowerCase();
  const special = /^([+-]?)(inf|infinity|nan)$/.exec(plain);
  if (special !== null) {
    if (special[2] === "nan") return Number.NaN;
    return special[1] === "-" ? -Infinity : Infinity;
  }
  const digits = "[0-9]+(?:_[0-9]+)*";
  const pattern = new RegExp(`^[+-]?(?:${digits}(?:\\.(?:${digits})?)?|\\.${digits})(?:e[+-]?${digits})?$`);
  return pattern.test(plain) ? Number(plain.replaceAll("_", "")) : null;
}

/** `text` without white space around it. Digits of other scripts, which Python reads as numbers too, are refused. */
function numeral(text: string): string {
  const bare = stripCharacters(text, "both", pythonSpace);
  if (/(?![0-9])\p{Nd}/u.test(bare))
    throw new UnsupportedError("reading digits other than 0 to 9 as a number");
  return bare;
}

/** `a // b` and `a % b` of two ints. */
export function divideIntegers(a: bigint, b: bigint): { quotient: bigint; remainder: bigint } {
  if (b === 0n) throw new PythonError("ZeroDivisionError", "integer division or modulo by zero");
  const remainder = a % b;
  const crosses = remainder !== 0n && remainder < 0n !== b < 0n;
  return crosses ? { quotient: a / b - 1n, remainder: remainder + b } : { quotient: a / b, remainder };
}

/** An int or float as a float. @throws PythonError for an int beyond the floats */
export function floatOf(value: bigint | number): number {
  const float = Number(value);
  if (typeof value === "number" || Number.isFinite(float)) return float;
  throw new PythonError("OverflowError", "int too large to convert to float");
}

const bitsOf = (value: bigint): number => value.toString(2).length;

/** `a / b` of two ints: the float nearest to it. */
export function quotientOf(a: bigint, b: bigint): number {
  if (b === 0n) throw new PythonError("ZeroDivisionError", "division by zero");
  if (BigInt.asIntN(54, a) === a && BigInt.asIntN(54, b) === b) return Number(a) / Number(b);
  const [above, below] = [a < 0n ? -a : a, b < 0n ? -b : b];
  const power = bitsOf(above) - bitsOf(below);
  if (power > 1024) throw new PythonError("OverflowError", "integer division result too large for a float");
  const size = above === 0n ? 0 : sizeOfQuotient(above, below, power);
  if (!Number.isFinite(size))
    throw new PythonError("OverflowError", "integer division result too large for a float");
  return a < 0n === b < 0n ? size : -size;
}

/** The float nearest to above / below, which is less than 2^(power + 1). */
function sizeOfQuotient(above: bigint, below: bigint, power: number): number {
  // below the normal floats all are multiples of the least one
  if (power < -1021) return Number(divideHalfEven(above << 1074n, below)) * Number.MIN_VALUE;
  // more bits than a float has, the last one set where more would follow: what is rounded then is rounded once
  const shift = 64 - power;
  const [scaledAbove, scaledBelow] =
    shift > 0 ? [above << BigInt(shift), below] : [above, below << BigInt(-shift)];
  const rest = scaledAbove % scaledBelow === 0n ? 0n : 1n;
  const bits = Number((scaledAbove / scaledBelow) | rest);
  return shift > 1000 ? bits / 2 ** 1000 / 2 ** (shift - 1000) : bits * 2 ** -shift;
}

/** `a // b` and `a % b` of two floats. */
export function divideFloats(a: number, b: number): { quotient: number; remainder: number } {
  if (b === 0) throw new PythonError("ZeroDivisionError", "float floor division by zero");
  let remainder = a % b;
  let quotient = (a - remainder) / b;
  if (remainder !== 0) {
    if (remainder < 0 !== b < 0) {
      remainder += b;
      quotient -= 1;
    }
  } else {
    remainder = b < 0 ? -0 : 0;
  }
  if (quotient === 0) return { quotient: signOf(a / b) === "-" ? -0 : 0, remainder };
  const floor = Math.floor(quotient);
  return { quotient: quotient - floor > 0.5 ? floor + 1 : floor, remainder };
}

/** A float as an int, cut towards zero. @throws PythonError for infinities and NaN */
export function truncate(value: number): bigint {
  if (Number.isNaN(value)) throw new PythonError("ValueError", "cannot convert float NaN to integer");
  if (!Number.isFinite(value)) {
    throw new PythonError("OverflowError", "cannot convert float infinity to integer");
  }
  return BigInt(Math.trunc(value));
}
