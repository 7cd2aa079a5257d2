/**
 * Conversations as data sets write them: lists of messages with `role` and `content`, or ShareGPT's with `from` and
 * `value`, as LLaMA-Factory and Axolotl read them; and Alpaca's instruction with its input.
 */
import { DataError } from "../base/errors.ts";
import { type Message, parseMessages } from "../text/messages.ts";
import { speakers } from "./speakers.ts";
import { storedValue } from "./stored-text.ts";

/**
 * The messages in `value`, a list of them or one alone.
 *
 * @param where - file, line and column, to begin messages with
 * @throws DataError when it is neither, or a message is not in order
 */
export function readConversation(value: unknown, where: string): Message[] {
  const list = Array.isArray(value) ? value : [value];
  const texts = list.filter((item) => typeof item === "string").length;
  if (Array.isArray(value) && texts > 0 && texts === list.length) {
    throw new DataError(
      `${where}: expected one text, got a list of ${texts}. Write a row for each, or messages with "role" and "content".`,
    );
  }
  const messages = list.map((item, i) =>
    isShareGpt(item) ? fromShareGpt(item, `${where}, message ${i + 1}`) : item,
  );
  return parseMessages(messages, where);
}

/** True when some message of `value` is ShareGPT's. */
export function hasShareGpt(value: unknown): boolean {
  return (Array.isArray(value) ? value : [value]).some(isShareGpt);
}

function isShareGpt(item: unknown): item is Record<string, unknown> {
  return typeof item === "object" && item !== null && ("from" in item || "value" in item);
}

function fromShareGpt(item: Record<string, unknown>, where: string): Record<string, unknown> {
  const { from, value, ...others } = item;
  if ((from !== undefined && others["role"] != null) || (value !== undefined && others["content"] != null)) {
    throw new DataError(
      `${where}: expected "role" and "content", or "from" and "value", got both. Fix the row.`,
    );
  }
  const speaker = from ?? others["role"];
  const role =
    typeof speaker === "string" && Object.hasOwn(speakers, speaker) ? speakers[speaker] : undefined;
  if (role === undefined) {
    const names = Object.keys(speakers).join(", ");
    const got = typeof speaker === "string" ? JSON.stringify(speaker.slice(0, 40)) : "none";
    throw new DataError(`${where}: expected "from" to be one of ${names}, got ${got}. Fix the row.`);
  }
  const content = value ?? others["content"];
  if (speaker !== "function_call") return { ...others, role, content };
  return { ...others, role, content: "", tool_calls: callsIn(content, where) };
}

/** LLaMA-Factory's function_call: JSON of one call with name and arguments, or of several. */
function callsIn(text: unknown, where: string): unknown[] {
  const value = typeof text === "string" ? storedValue(text) : text;
  const calls = Array.isArray(value) ? value : [value];
  const isCall = (call: unknown): boolean =>
    typeof call === "object" && call !== null && "name" in call && "arguments" in call;
  if (calls.length > 0 && calls.every(isCall)) {
    return calls.map(({ name, arguments: given }) => ({
      type: "function",
      function: { name, arguments: given },
    }));
  }
  throw new DataError(
    `${where}: expected the value of a function_call to be JSON like {"name": "...", "arguments": {...}}. Fix the row.`,
  );
}

/** `text` as a user's message. */
export function userMessage(text: string): Message {
  return { role: "user", content: text };
}

/** A user's question in Alpaca's form: the instruction and, where there is one, its input on the next line. */
export function alpacaQuestion(instruction: string, input: string | null): string {
  return [instruction, input ?? ""].filter((part) => part !== "").join("\n");
}

/**
 * LLaMA-Factory's `history`: earlier turns, each a pair of question and answer.
 *
 * @throws DataError when it is no list of pairs of texts
 */
export function readHistory(value: unknown, where: string): Message[] {
  const isPair = (pair: unknown): pair is [string, string] =>
    Array.isArray(pair) && pair.length === 2 && pair.every((text) => typeof text === "string");
  if (!Array.isArray(value) || !value.every(isPair)) {
    throw new DataError(`${where}: expected a list of earlier turns, each [question, answer]. Fix the row.`);
  }
  return value.flatMap(([asked, answered]): Message[] => [
    { role: "user", content: asked },
    { role: "assistant", content: answered },
  ]);
}

/**
 * `messages` with a system message at the beginning.
 *
 * @param system - empty: none
 * @throws DataError when they begin with another one
 */
export function withSystem(messages: readonly Message[], system: string | null, where: string): Message[] {
  const [first] = messages;
  if (system === null || system === "") return [...messages];
  if (first?.role !== "system" && first?.role !== "developer") {
    return [{ role: "system", content: system }, ...messages];
  }
  if (first.content === system) return [...messages];
  throw new DataError(
    `${where}: expected one system message, got another in the conversation. Take one of them out.`,
  );
}
