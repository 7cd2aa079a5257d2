/**
 * JSON with the numbers that JSON lacks: NaN, Infinity and -Infinity as bare words, as Python's `json` writes and reads
 * them. A metric that is not a number must never turn into null or 0 on the way to a file.
 */

/** Marks a bare word while a line is read by `JSON.parse`; no text in a metrics file begins like this. */
const MARK = "\u0000number:";
const STRING_OR_WORD = /"(?:[^"\\]|\\.)*(?:"|$)|-?Infinity|NaN/g;
const WORDS: Readonly<Record<string, number>> = {
  NaN: Number.NaN,
  Infinity: Number.POSITIVE_INFINITY,
  "-Infinity": Number.NEGATIVE_INFINITY,
};

/** `value` as JSON on one line, numbers that are not finite as bare words. */
export function stringifyNumbers(value: unknown): string {
  if (typeof value === "number") return Number.isFinite(value) ? JSON.stringify(value) : String(value);
  if (Array.isArray(value)) return `[${value.map(stringifyNumbers).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  const entries = Object.entries(value).filter(([, part]) => part !== undefined);
  return `{${entries.map(([key, part]) => `${JSON.stringify(key)}:${stringifyNumbers(part)}`).join(",")}}`;
}

/**
 * The value of JSON text in which numbers may also be NaN, Infinity and -Infinity.
 *
 * @throws {SyntaxError} when it is not that
 */
export function parseNumbers(text: string): unknown {
  // most lines have none: they are read without a look at each of their strings
  if (!/Infinity|NaN/.test(text)) return JSON.parse(text);
  const marked = text.replace(STRING_OR_WORD, (part) =>
    part.startsWith('"') ? part : JSON.stringify(`${MARK}${part}`),
  );
  if (marked === text) return JSON.parse(text);
  return JSON.parse(marked, (_key, value) =>
    typeof value === "string" && value.startsWith(MARK) ? WORDS[value.slice(MARK.length)] : value,
  );
}
