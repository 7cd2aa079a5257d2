/** Jinja's filters on text. */
import { bind, toIndex, toText } from "./arguments.ts";
import { capitalize, pythonSpace, spaceClass, splitLines, stripCharacters } from "./characters.ts";
import { escapeHtml, escapeValue, iterate, iteratorOf, len, truth } from "./operators.ts";
import { percentFormat } from "./percent-format.ts";
import { str } from "./printing.ts";
import { replaceText } from "./string-methods.ts";
import {
  type Arguments,
  codePoints,
  countCodePoints,
  Dict,
  Markup,
  PythonError,
  sequenceOf,
  Tuple,
  textOf,
  typeName,
  UnsupportedError,
  type Value,
} from "./values.ts";

type Filter = (value: Value, call: Arguments) => Value;

/** A filter that changes the text of any value; what is marked safe stays so. */
function change(name: string, work: (text: string) => string): Filter {
  return (value, call) => {
    bind(name, call, []);
    const text = work(str(value));
    return value instanceof Markup ? new Markup(text) : text;
  };
}

const wordStart = new RegExp(`((?:[-({\\[<]|${spaceClass})+)`);

function title(text: string): string {
  const raise = (word: string): string => {
    const [first = ""] = word;
    return first.toUpperCase() + word.slice(first.length).toLowerCase();
  };
  return text.split(wordStart).map(raise).join("");
}

function indent(value: Value, call: Arguments): Value {
  const [width = 4n, first = false, blank = false] = bind("indent", call, ["width", "first", "blank"]);
  if (value instanceof Markup) throw new UnsupportedError("the filter indent on text marked safe");
  const lines = splitLines(`${toText(value, "indent")}\n`);
  const by = textOf(width) ?? " ".repeat(Math.max(0, toIndex(width, 4)));
  const rest = lines.slice(1).map((line) => (line !== "" || truth(blank) ? by + line : line));
  const text = [lines[0] ?? "", ...rest].join("\n");
  return truth(first) ? by + text : text;
}

function truncate(value: Value, call: Arguments): Value {
  const [length, killWords = false, end = "...", leeway = null] = bind("truncate", call, [
    "length",
    "killwords",
    "end",
    "leeway",
  ]);
  const text = textOf(value);
  const ending = toText(end, "truncate");
  const most = toIndex(length, 255);
  const slack = leeway === null ? 5 : toIndex(leeway, 5);
  if (most < countCodePoints(ending) || slack < 0) {
    throw new PythonError("AssertionError", `expected length >= ${countCodePoints(ending)}, got ${most}`);
  }
  if (len(value) <= most + slack) return value;
  if (text === null || value instanceof Markup)
    throw new UnsupportedError(`truncate of a ${typeName(value)}`);
  const kept = codePoints(text)
    .slice(0, most - countCodePoints(ending))
    .join("");
  const space = kept.lastIndexOf(" ");
  return (truth(killWords) || space < 0 ? kept : kept.slice(0, space)) + ending;
}

function replace(value: Value, call: Arguments): Value {
  const [old = null, next = null, count = null] = bind("replace", call, ["old!", "new!", "count"]);
  return replaceText(str(value), str(old), str(next), count === null ? -1 : toIndex(count, -1));
}

function format(value: Value, { args, kwargs }: Arguments): Value {
  if (args.length > 0 && kwargs.size > 0) {
    throw new PythonError(
      "FilterArgumentError",
      "can't handle positional and keyword arguments at the same time",
    );
  }
  if (value instanceof Markup) throw new UnsupportedError("the filter format on text marked safe");
  return percentFormat(str(value), kwargs.size > 0 ? Dict.of(kwargs) : new Tuple(args));
}

function trim(value: Value, call: Arguments): Value {
  const [chars = null] = bind("trim", call, ["chars"]);
  const set = chars === null ? pythonSpace : new Set(toText(chars, "strip arg"));
  const text = stripCharacters(str(value), "both", set);
  return value instanceof Markup ? new Markup(text) : text;
}

function center(value: Value, call: Arguments): Value {
  const width = toIndex(bind("center", call, ["width"])[0], 80);
  const text = str(value);
  const missing = Math.max(0, width - countCodePoints(text));
  const left = Math.floor(missing / 2) + (missing & width & 1);
  return " ".repeat(left) + text + " ".repeat(missing - left);
}

function quote(value: Value, keeps: string): string {
  const text = str(value);
  if (!text.isWellFormed()) throw new PythonError("UnicodeEncodeError", "surrogates not allowed");
  return encodeURIComponent(text)
    .replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll("%2F", keeps);
}

function urlEncode(value: Value, call: Arguments): Value {
  bind("urlencode", call, []);
  if (textOf(value) !== null || iteratorOf(value) === null) return quote(value, "/");
  const pairs =
    value instanceof Dict ? [...value.entries()] : Array.from(iterate(value), (item) => sequenceOf(item));
  const part = (item: Value): string => quote(item, "%2F").replaceAll("%20", "+");
  return pairs
    .map((pair) => {
      if (pair?.length !== 2) throw new PythonError("ValueError", "expected pairs of two values");
      return `${part(pair[0] ?? null)}=${part(pair[1] ?? null)}`;
    })
    .join("&");
}

function escaped(value: Value, call: Arguments): Value {
  bind("escape", call, []);
  return escapeValue(value);
}

/** Filters on text, by name. */
export const textFilters: Readonly<Record<string, Filter>> = {
  capitalize: change("capitalize", capitalize),
  center,
  e: escaped,
  escape: escaped,
  forceescape: (value, call) => {
    bind("forceescape", call, []);
    return new Markup(escapeHtml(str(value)));
  },
  format,
  indent,
  lower: change("lower", (text) => text.toLowerCase()),
  replace,
  safe: (value, call) => {
    bind("safe", call, []);
    return value instanceof Markup ? value : new Markup(str(value));
  },
  string: (value, call) => {
    bind("string", call, []);
    return value instanceof Markup ? value : str(value);
  },
  title: (value, call) => {
    bind("title", call, []);
    return title(str(value));
  },
  trim,
  truncate,
  upper: change("upper", (text) => text.toUpperCase()),
  urlencode: urlEncode,
  wordcount: (value, call) => {
    bind("wordcount", call, []);
    return BigInt(str(value).match(/[\p{L}\p{N}_]+/gu)?.length ?? 0);
  },
};
