/**
 * Python's `datetime.now().strftime` as it is on Linux, in English and in UTC, so that a render repeats everywhere. As the
 * date that Python's templates see has no time zone, %Z and %z are empty.
 */
import { UnsupportedError } from "./jinja/values.ts";

const days = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const months = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
];

/** A number with the width that it is filled to, by zeros or by spaces. */
type Field = readonly [value: number, width: number, fill?: " "];

/** `date` written by a format such as "%d %b %Y". Unknown codes stay as they are, as on Linux; widths are refused. */
export function strftime(date: Date, format: string): string {
  return format.replace(/%([-_0^#]*)(\d*)(.?)/gsu, (code, flag: string, width: string, letter: string) => {
    if (width !== "" || isForeign(flag, letter)) throw new UnsupportedError(`strftime's ${code}`);
    const number = numberField(date, letter);
    if (number !== null) return pad(number, flag);
    const text = textField(date, letter);
    if (text !== null) return flag === "^" ? text.toUpperCase() : text;
    if (flag === "^") throw new UnsupportedError(`strftime's ${code}`);
    return code;
  });
}

/** Flags and letters that Python leaves to the system and that mean something else there. */
function isForeign(flag: string, letter: string): boolean {
  if (flag.length > 1 || flag === "#") return true;
  return ["E", "O", ...(flag === "" ? [] : ["f"]), ...(flag === "^" ? ["P"] : [])].includes(letter);
}

function pad([value, width, fill = undefined]: Field, flag: string): string {
  const flags: Record<string, string> = { "-": "", _: " ", "0": "0" };
  const filler = flags[flag] ?? fill ?? "0";
  return filler === "" ? String(value) : String(value).padStart(width, filler);
}

function numberField(date: Date, letter: string): Field | null {
  const year = date.getUTCFullYear();
  const hour = date.getUTCHours();
  const fields: Record<string, () => Field> = {
    C: () => [Math.floor(year / 100), 2],
    d: () => [date.getUTCDate(), 2],
    e: () => [date.getUTCDate(), 2, " "],
    G: () => [isoYear(date), 1],
    g: () => [isoYear(date) % 100, 2],
    H: () => [hour, 2],
    I: () => [hour % 12 || 12, 2],
    j: () => [dayOfYear(date) + 1, 3],
    k: () => [hour, 2, " "],
    l: () => [hour % 12 || 12, 2, " "],
    M: () => [date.getUTCMinutes(), 2],
    m: () => [date.getUTCMonth() + 1, 2],
    S: () => [date.getUTCSeconds(), 2],
    s: () => [Math.floor(date.getTime() / 1000), 1],
    U: () => [Math.floor((dayOfYear(date) + 7 - date.getUTCDay()) / 7), 2],
    u: () => [date.getUTCDay() || 7, 1],
    V: () => [isoWeek(date), 2],
    W: () => [Math.floor((dayOfYear(date) + 7 - ((date.getUTCDay() + 6) % 7)) / 7), 2],
    w: () => [date.getUTCDay(), 1],
    Y: () => [year, 1],
    y: () => [year % 100, 2],
  };
  return fields[letter]?.() ?? null;
}

function textField(date: Date, letter: string): string | null {
  const day = days[date.getUTCDay()] ?? "";
  const month = months[date.getUTCMonth()] ?? "";
  const half = date.getUTCHours() < 12 ? "AM" : "PM";
  const texts: Record<string, string> = {
    A: day,
    a: day.slice(0, 3),
    B: month,
    b: month.slice(0, 3),
    f: String(date.getUTCMilliseconds() * 1000).padStart(6, "0"),
    h: month.slice(0, 3),
    n: "\n",
    P: half.toLowerCase(),
    p: half,
    t: "\t",
    Z: "",
    z: "",
    "%": "%",
  };
  const composed: Record<string, string> = {
    c: "%a %b %e %H:%M:%S %Y",
    D: "%m/%d/%y",
    F: "%Y-%m-%d",
    R: "%H:%M",
    r: "%I:%M:%S %p",
    T: "%H:%M:%S",
    X: "%H:%M:%S",
    x: "%m/%d/%y",
  };
  const format = composed[letter];
  return format === undefined ? (texts[letter] ?? null) : strftime(date, format);
}

const msPerDay = 86_400_000;

/** Days since the first of January. */
function dayOfYear(date: Date): number {
  const start = Date.UTC(date.getUTCFullYear(), 0, 1);
  return Math.floor((date.getTime() - start) / msPerDay);
}

/** The Thursday of a date's week, which decides to which year the week belongs. */
function thursday(date: Date): Date {
  return new Date(date.getTime() + (4 - (date.getUTCDay() || 7)) * msPerDay);
}

function isoYear(date: Date): number {
  return thursday(date).getUTCFullYear();
}

function isoWeek(date: Date): number {
  return Math.floor(dayOfYear(thursday(date)) / 7) + 1;
}
