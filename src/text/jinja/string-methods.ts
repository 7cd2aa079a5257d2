/** The methods of Python's str, but for `format`, which is in str-format.ts. */
import { bind, toIndex, toText } from "./arguments.ts";
import {
  capitalize,
  isPrintable,
  pythonSpace,
  spaceClass,
  splitLines,
  stripCharacters,
  swapCase,
  titleCase,
} from "./characters.ts";
import { iterate, truth } from "./operators.ts";
import { indexRange } from "./slices.ts";
import {
  type Arguments,
  codePoints,
  countCodePoints,
  PythonError,
  Tuple,
  textOf,
  typeName,
  UnsupportedError,
  type Value,
} from "./values.ts";

type StringMethod = (text: string, call: Arguments) => Value;

const unsupported = [
  "casefold",
  "encode",
  "format_map",
  "isidentifier",
  "isnumeric",
  "maketrans",
  "translate",
];

/** The method `name` of str; undefined where str has none. */
export function stringMethod(name: string): StringMethod | undefined {
  if (unsupported.includes(name)) {
    return () => {
      throw new UnsupportedError(`str.${name}`);
    };
  }
  return Object.hasOwn(methods, name) ? methods[name] : undefined;
}

function without(name: string, change: (text: string) => Value): StringMethod {
  return (text, call) => {
    bind(`str.${name}`, call, []);
    return change(text);
  };
}

function strip(name: string, side: "both" | "left" | "right"): StringMethod {
  return (text, call) => {
    const [chars = null] = bind(`str.${name}`, call, ["/chars"]);
    if (chars === null) return stripCharacters(text, side, pythonSpace);
    return stripCharacters(text, side, new Set(toText(chars, `${name} arg`)));
  };
}

/** Whether all characters pass, and there is one. */
function every(name: string, pattern: RegExp): StringMethod {
  return without(name, (text) => text !== "" && pattern.test(text));
}

function affix(name: "startswith" | "endswith"): StringMethod {
  return (text, call) => {
    const [given, ...range] = bind(name, call, ["/prefix!", "/start", "/end"]);
    const [from, to] = indexRange(countCodePoints(text), range);
    const part = codePoints(text).slice(from, to).join("");
    const options = given instanceof Tuple ? given.items : [given ?? null];
    return options.some((option) => {
      const fix = textOf(option);
      if (fix === null) {
        throw new PythonError(
          "TypeError",
          `${name} first arg must be str or a tuple of str, not ${typeName(option)}`,
        );
      }
      // An empty text is found nowhere behind the end.
      if (from > to) return false;
      return name === "startswith" ? part.startsWith(fix) : part.endsWith(fix);
    });
  };
}

type Search = (text: string, part: string) => number;
const firstPlace: Search = (text, part) => text.indexOf(part);
const lastPlace: Search = (text, part) => text.lastIndexOf(part);

function find(name: string, search: Search, mustExist: boolean): StringMethod {
  return (text, call) => {
    const [given, ...range] = bind(name, call, ["/sub!", "/start", "/end"]);
    const characters = codePoints(text);
    const [from, to] = indexRange(characters.length, range);
    const section = characters.slice(from, to).join("");
    const at = from > to ? -1 : search(section, toText(given, name));
    if (at >= 0) return BigInt(from + countCodePoints(section.slice(0, at)));
    if (mustExist) throw new PythonError("ValueError", "substring not found");
    return -1n;
  };
}

function count(text: string, call: Arguments): Value {
  const [given, ...range] = bind("count", call, ["/sub!", "/start", "/end"]);
  const characters = codePoints(text);
  const [from, to] = indexRange(characters.length, range);
  const part = toText(given, "count");
  if (from > to) return 0n;
  if (part === "") return BigInt(to - from + 1);
  return BigInt(characters.slice(from, to).join("").split(part).length - 1);
}

function split(name: "split" | "rsplit"): StringMethod {
  return (text, call) => {
    const [separator = null, limit] = bind(name, call, ["sep", "maxsplit"]);
    const most = toIndex(limit, -1);
    const times = most < 0 ? Infinity : most;
    if (separator === null) return name === "split" ? splitSpace(text, times) : rsplitSpace(text, times);
    const by = toText(separator, name);
    if (by === "") throw new PythonError("ValueError", "empty separator");
    if (name === "rsplit") return splitFromEnd(text, by, times);
    const parts = text.split(by);
    return parts.length - 1 <= times ? parts : [...parts.slice(0, times), parts.slice(times).join(by)];
  };
}

/** Overlapping separators are found from the end: "aaa".rsplit("aa") cuts behind the first letter. */
function splitFromEnd(text: string, by: string, times: number): Value[] {
  const parts: string[] = [];
  let rest = text;
  while (parts.length < times) {
    const at = rest.lastIndexOf(by);
    if (at < 0) break;
    parts.unshift(rest.slice(at + by.length));
    rest = rest.slice(0, at);
  }
  return [rest, ...parts];
}

const word = new RegExp(`${spaceClass.replace("[", "[^")}+`, "gu");

/** Words between white space, at most `times` of them, and what is left behind the last. */
function splitSpace(text: string, times: number): Value[] {
  const words = [...text.matchAll(word)];
  const rest = words[times];
  const parts = words.slice(0, times).map(([part]) => part);
  return rest === undefined ? parts : [...parts, text.slice(rest.index)];
}

/** Words between white space, at most `times` of them from the end, and what is left before the first. */
function rsplitSpace(text: string, times: number): Value[] {
  const words = [...text.matchAll(word)];
  const kept = Math.min(times, words.length);
  const parts = words.slice(words.length - kept).map(([part]) => part);
  const rest = words[words.length - kept - 1];
  return rest === undefined ? parts : [text.slice(0, rest.index + rest[0].length), ...parts];
}

function replace(text: string, call: Arguments): Value {
  const [old, next, limit] = bind("replace", call, ["/old!", "/new!", "count"]);
  return replaceText(text, toText(old, "replace"), toText(next, "replace"), toIndex(limit, -1));
}

/** `text.replace(old, next, limit)`. */
export function replaceText(text: string, old: string, next: string, limit = -1): string {
  if (limit < 0)
    return old === "" ? ["", ...codePoints(text), ""].join(next) : text.replaceAll(old, () => next);
  if (limit === 0) return text;
  if (old === "") {
    const characters = codePoints(text);
    const places = Math.min(limit, characters.length + 1);
    return (
      ["", ...characters.slice(0, places - 1)].map((c) => c + next).join("") +
      characters.slice(places - 1).join("")
    );
  }
  const parts = text.split(old);
  if (parts.length - 1 <= limit) return parts.join(next);
  return parts.slice(0, limit + 1).join(next) + old + parts.slice(limit + 1).join(old);
}

function partition(name: "partition" | "rpartition", search: Search): StringMethod {
  return (text, call) => {
    const separator = toText(bind(name, call, ["/sep!"])[0], name);
    if (separator === "") throw new PythonError("ValueError", "empty separator");
    const at = search(text, separator);
    if (at < 0) return new Tuple(name === "partition" ? [text, "", ""] : ["", "", text]);
    return new Tuple([text.slice(0, at), separator, text.slice(at + separator.length)]);
  };
}

function justify(name: string, place: (missing: number, width: number) => number): StringMethod {
  return (text, call) => {
    const [given, filler = " "] = bind(name, call, ["/width!", "/fillchar"]);
    const fill = toText(filler, name);
    if (countCodePoints(fill) !== 1) {
      throw new PythonError("TypeError", "The fill character must be exactly one character long");
    }
    const width = toIndex(given, 0);
    const missing = Math.max(0, width - countCodePoints(text));
    const left = place(missing, width);
    return fill.repeat(left) + text + fill.repeat(missing - left);
  };
}

function zfill(text: string, call: Arguments): Value {
  const missing = Math.max(0, toIndex(bind("zfill", call, ["/width!"])[0], 0) - countCodePoints(text));
  const sign = /^[+-]/.exec(text)?.[0] ?? "";
  return sign + "0".repeat(missing) + text.slice(sign.length);
}

function expandTabs(text: string, call: Arguments): Value {
  const size = toIndex(bind("expandtabs", call, ["tabsize"])[0], 8);
  let column = 0;
  let result = "";
  for (const c of text) {
    const width = c === "\t" ? (size > 0 ? size - (column % size) : 0) : 1;
    result += c === "\t" ? " ".repeat(width) : c;
    column = c === "\n" || c === "\r" ? 0 : column + width;
  }
  return result;
}

function join(text: string, call: Arguments): Value {
  const [items] = bind("join", call, ["/iterable!"]);
  const parts: string[] = [];
  for (const item of iterate(items ?? null)) {
    const part = textOf(item);
    if (part === null) {
      throw new PythonError(
        "TypeError",
        `sequence item ${parts.length}: expected str instance, ${typeName(item)} found`,
      );
    }
    parts.push(part);
  }
  return parts.join(text);
}

function isTitle(text: string): boolean {
  let wasCased = false;
  let found = false;
  for (const c of text) {
    if (/[\p{Uppercase}\p{Lt}]/u.test(c)) {
      if (wasCased) return false;
      wasCased = true;
      found = true;
    } else if (/\p{Lowercase}/u.test(c)) {
      if (!wasCased) return false;
    } else {
      wasCased = false;
    }
  }
  return found;
}

/** Whether the text has a cased letter and every cased letter is of the wanted case. */
function isCase(text: string, wanted: RegExp, others: RegExp): boolean {
  return wanted.test(text) && !others.test(text);
}

/** `text.islower()`. */
export function isLower(text: string): boolean {
  return isCase(text, /\p{Lowercase}/u, /[\p{Uppercase}\p{Lt}]/u);
}

/** `text.isupper()`. */
export function isUpper(text: string): boolean {
  return isCase(text, /\p{Uppercase}/u, /[\p{Lowercase}\p{Lt}]/u);
}

/** Digits that are no decimal digits: superscripts, subscripts, circled, in brackets, with a full stop. */
const digits =
  /^[\p{Nd}\xb2\xb3\xb9\u1369-\u1371\u19da\u2070\u2074-\u2079\u2080-\u2089\u2460-\u2468\u2474-\u247c\u2488-\u2490\u24ea\u24f5-\u24fd\u24ff\u2776-\u277e\u2780-\u2788\u278a-\u2792\u{10a40}-\u{10a43}\u{10e60}-\u{10e68}\u{11052}-\u{1105a}\u{1f100}-\u{1f10a}]+$/u;

const methods: Readonly<Record<string, StringMethod>> = {
  capitalize: without("capitalize", capitalize),
  center: justify("center", (missing, width) => Math.floor(missing / 2) + (missing & width & 1)),
  count,
  endswith: affix("endswith"),
  expandtabs: expandTabs,
  find: find("find", firstPlace, false),
  index: find("index", firstPlace, true),
  isalnum: every("isalnum", /^[\p{L}\p{N}]+$/u),
  isalpha: every("isalpha", /^\p{L}+$/u),
  isascii: without("isascii", (text) => /^[\0-\x7f]*$/.test(text)),
  isdecimal: every("isdecimal", /^\p{Nd}+$/u),
  isdigit: every("isdigit", digits),
  islower: without("islower", isLower),
  isprintable: without("isprintable", (text) => Array.from(text).every(isPrintable)),
  isspace: without("isspace", (text) => text !== "" && Array.from(text).every((c) => pythonSpace.has(c))),
  istitle: without("istitle", isTitle),
  isupper: without("isupper", isUpper),
  join,
  ljust: justify("ljust", () => 0),
  lower: without("lower", (text) => text.toLowerCase()),
  lstrip: strip("lstrip", "left"),
  partition: partition("partition", firstPlace),
  removeprefix: (text, call) => {
    const prefix = toText(bind("removeprefix", call, ["/prefix!"])[0], "removeprefix");
    return text.startsWith(prefix) ? text.slice(prefix.length) : text;
  },
  removesuffix: (text, call) => {
    const suffix = toText(bind("removesuffix", call, ["/suffix!"])[0], "removesuffix");
    return suffix !== "" && text.endsWith(suffix) ? text.slice(0, -suffix.length) : text;
  },
  replace,
  rfind: find("rfind", lastPlace, false),
  rindex: find("rindex", lastPlace, true),
  rjust: justify("rjust", (missing) => missing),
  rpartition: partition("rpartition", lastPlace),
  rsplit: split("rsplit"),
  rstrip: strip("rstrip", "right"),
  split: split("split"),
  splitlines: (text, call) => splitLines(text, truth(bind("splitlines", call, ["keepends"])[0] ?? false)),
  startswith: affix("startswith"),
  strip: strip("strip", "both"),
  swapcase: without("swapcase", swapCase),
  title: without("title", titleCase),
  upper: without("upper", (text) => text.toUpperCase()),
  zfill,
};
