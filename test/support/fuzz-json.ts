/** JSON lines and JSON lists for fuzzing. What is read agrees with JSON.parse, which also has to accept it. */
import { isDeepStrictEqual } from "node:util";
import type { RawRow } from "../../src/data/example.ts";
import { JsonNumber } from "../../src/text/json-number.ts";
import { type FuzzTarget, valuesOf } from "./fuzz-data.ts";

const rows = [
  { prompt: "The sky is", chosen: " blue.", rejected: " green." },
  { prompt: [{ role: "user", content: "2 + 3?" }], chosen: "5", n: [1, 1.5, -2, null, true] },
  {
    text: 'a "quoted" \\ text\nwith ü and \ud83d\ude00',
    tools: [{ type: "function", function: { name: "add" } }],
  },
];
const big = '{"id":12345678901234567890,"x":1.0,"y":1e-7,"\\u0061b":"\\ud83d\\ude00"}';
const lines = `${rows.map((row) => JSON.stringify(row)).join("\n")}\n${big}\n`;
const list = `[${rows.map((row) => JSON.stringify(row, null, 1)).join(",\n")},${big}]`;
const pieces = [
  '"',
  "\\",
  "\\u",
  "\\ud800",
  "[",
  "]",
  "{",
  "}",
  ",",
  ":",
  "null",
  "NaN",
  "1e999",
  "-0",
  "1.0",
  '{"a":1,"a":2}',
  "\n",
  "\r\n",
  "\ufeff",
  '"__proto__":',
  "\u0000",
  "[[[[",
  "9".repeat(20),
].map((text) => Buffer.from(text));

/** `value` with its numbers as JavaScript's. */
function plain(value: unknown): unknown {
  if (value instanceof JsonNumber) return plain(Number(value.text));
  // Python's integers know no -0
  if (value === 0) return 0;
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, plain(part)]));
}

function differs(
  values: readonly (Record<string, unknown> | null)[],
  wanted: readonly unknown[],
): string | null {
  if (values.length !== wanted.length) return `${values.length} rows where JSON.parse has ${wanted.length}`;
  const wrong = values.findIndex(
    (value, i) =>
      value !== null && wanted[i] !== unknown && !isDeepStrictEqual(plain(value), plain(wanted[i])),
  );
  return wrong < 0 ? null : `row ${wrong + 1} is another than JSON.parse's`;
}

/** Stands for a text of which the truth is not known. */
const unknown = Symbol("unknown");

/**
 * The truth, where JSON.parse tells it: that of Node 24 takes a key with escapes for another's it has seen, now and then. The one of
 * the seeds is written out first.
 */
const parse = (text: string): unknown => {
  const plainKeys = text.replaceAll('"\\u0061b"', '"ab"');
  try {
    const value: unknown = JSON.parse(plainKeys);
    return /\\[^"]*"\s*:/.test(plainKeys) ? unknown : value;
  } catch {
    return undefined;
  }
};

/** Lines: each that is not blank, by itself. */
function untrueLines(read: readonly RawRow[], file: Buffer): string | null {
  const texts = file
    .toString("utf8")
    .replace(/^\ufeff/, "")
    .split("\n");
  return differs(valuesOf(read), texts.filter((text) => text.trim() !== "").map(parse));
}

/** JSON lines. */
export const jsonLines: FuzzTarget = {
  name: "JSON lines",
  ending: "jsonl",
  seeds: [Buffer.from(lines), Buffer.from(big)],
  pieces,
  untrue: untrueLines,
};

/** Lists, and the JSON lines that a file of the same ending may hold. */
export const jsonLists: FuzzTarget = {
  name: "JSON lists",
  ending: "json",
  seeds: [Buffer.from(list), Buffer.from("[]"), Buffer.from(`[${big}]`)],
  pieces,
  untrue: (read, file) => {
    const text = file.toString("utf8").replace(/^\ufeff/, "");
    if (!text.trimStart().startsWith("[")) return untrueLines(read, file);
    const wanted = parse(text);
    if (wanted === unknown) return null;
    return Array.isArray(wanted) ? differs(valuesOf(read), wanted) : "a list that JSON.parse refuses";
  },
};
