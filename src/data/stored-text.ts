/** Lists and objects that a string column holds as text: as JSON, or in Python's notation as pandas writes them. */
import { DataError } from "../base/errors.ts";
import { JsonError, parseJson } from "../text/json.ts";
import { parsePythonLiteral } from "./python-literal.ts";
import { isSpeaker } from "./speakers.ts";

/** An object's beginning, alone or first in a list, and a speaker named somewhere in it. */
const objectStart = /^\s*(array\(\s*)?(\[\s*)?\{\s*["']/;
const speaker =
  /["'](role|from)["']\s*:\s*["'](system|developer|user|human|assistant|gpt|tool|observation|function_call)["']/;

/** What to do with an answer that is such text, where the reader of the rows can say that strings are text. */
export const plainTextRemedy =
  "; for an answer that is this text, set plain_strings: text (a command's --plain-strings text)";

/**
 * The messages (a list, or one object) that `text` writes, not checked yet; null when it is plain text.
 *
 * @param where - file, line and column, to begin messages with
 * @param remedy - {@link plainTextRemedy} where it helps
 * @throws DataError when it begins as messages do but cannot be read
 */
export function messagesInText(text: string, where: string, remedy = ""): object | null {
  // White space is taken off first: patterns with white space at two places try every way of sharing it out.
  const begin = text.trimStart().replace(/^"/, "").trimStart();
  if (!/^(array\(\s*)?[[{]/.test(begin)) return null;
  const { value, fault } = parseStored(text);
  // JSON of a string that holds JSON, as some writers make it.
  if (typeof value === "string") return messagesInText(value, where, remedy);
  const inner =
    value === undefined ? undefined : Object.entries(value as object).find(([, part]) => holdsMessages(part));
  if (inner !== undefined && !Array.isArray(value)) {
    throw new DataError(
      `${where}: expected messages or plain text, got an object as text that holds messages under "${inner[0]}". ` +
        `Put these alone into the column${remedy}.`,
    );
  }
  if (isMessageLike(value) || holdsMessages(value)) return value as object;
  if (value !== undefined || !objectStart.test(text) || !speaker.test(text)) return null;
  throw new DataError(
    `${where}: expected messages, as the text begins, but ${fault}. Is the cell cut short? Write lists of messages as JSON${remedy}.`,
  );
}

/** The value that `text` writes, or undefined when it writes none. */
export function storedValue(text: string): unknown {
  return parseStored(text).value;
}

function parseStored(text: string): { value?: unknown; fault?: string } {
  try {
    return { value: parseJson(text) };
  } catch (error) {
    if (error instanceof JsonError && error.fault === "meaning") return { fault: error.message };
  }
  try {
    return { value: parsePythonLiteral(text) };
  } catch (error) {
    if (error instanceof JsonError) return { fault: error.message };
    return { fault: "it is neither JSON nor Python's notation of a list" };
  }
}

function holdsMessages(value: unknown): boolean {
  return Array.isArray(value) && value.some(isMessageLike);
}

function isMessageLike(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  return (
    ("role" in value && ("content" in value || "tool_calls" in value)) ||
    // Another object may have these names too, as one of a journey.
    ("from" in value && "value" in value && isSpeaker(value.from))
  );
}
