/**
 * The prompt of a row, from whichever column holds it. A column `prompt` of plain text stays plain text, as in TRL; the
 * forms that are made for chat (a system column, a question, an instruction, messages) are read as messages.
 */
import { DataError } from "../base/errors.ts";
import { isRecord } from "../base/is-record.ts";
import type { Message } from "../text/messages.ts";
import { columnsKey, mayBePrompt } from "./column-hints.ts";
import type { ColumnName, RowColumns } from "./columns.ts";
import { alpacaQuestion, readConversation, readHistory, userMessage, withSystem } from "./conversations.ts";
import { messagesInText, plainTextRemedy, storedValue } from "./stored-text.ts";

/** A prompt of plain text, or of messages; `isConversation`: those of a whole conversation's column. */
export type RowPrompt =
  | { kind: "text"; text: string }
  | { kind: "chat"; messages: Message[]; isConversation: boolean };

/** Columns of a whole conversation. */
export const conversationColumns = ["messages", "conversations"] as const;

const promptColumns = [
  "prompt",
  ...conversationColumns,
  "instruction",
  "question",
  "query",
  "input",
] as const;

/**
 * The column that the prompt is read from, or null when the row has none of them. `prompt` and whole conversations go
 * before the others, and an instruction has its input beside it.
 */
function promptColumn(columns: RowColumns): (typeof promptColumns)[number] | null {
  const present = promptColumns.filter((name) => columns.has(name));
  const [first, ...others] = present;
  if (first === undefined) return null;
  const rivals = others.filter((name) => !(first === "instruction" && name === "input"));
  if (["prompt", ...conversationColumns].includes(first) || rivals.length === 0) return first;
  const names = [first, ...rivals].map((name) => `"${columns.nameOf(name)}"`).join(" and ");
  throw new DataError(
    `${columns.where}: expected one prompt, got ${names}. Name it, as in ${columnsKey({ prompt: columns.nameOf(first) })}.`,
  );
}

/** True when some column holds the row's prompt. */
export function hasPrompt(columns: RowColumns): boolean {
  return promptColumn(columns) !== null;
}

/**
 * The row's prompt with its system message; null when no column holds one.
 *
 * @throws DataError for a value that is no prompt, or two columns of which each could be it
 */
export function readPrompt(columns: RowColumns): RowPrompt | null {
  const name = promptColumn(columns);
  if (name === null) return null;
  const prompt = promptIn(columns, name);
  if (!columns.exists("system")) return prompt;
  const messages = prompt.kind === "chat" ? prompt.messages : [userMessage(prompt.text)];
  const isConversation = prompt.kind === "chat" && prompt.isConversation;
  return { kind: "chat", messages: withSystem(messages, readSystem(columns), columns.where), isConversation };
}

function promptIn(columns: RowColumns, name: (typeof promptColumns)[number]): RowPrompt {
  if (name === "prompt") {
    const value = readTextOrMessages(columns, name);
    return typeof value === "string" ? { kind: "text", text: value } : chat(value);
  }
  if (name === "instruction") return chat(alpacaPrompt(columns));
  const request = requestIn(columns);
  if (request !== null) {
    const place = `${columns.place("input")}, "messages"`;
    return chat(readConversation(columns.part("input", "messages", request), place));
  }
  const value = readTextOrMessages(columns, name);
  const isConversation = name === "messages" || name === "conversations";
  if (typeof value !== "string") return { kind: "chat", messages: value, isConversation };
  if (isConversation) throw columns.wrongType(name, "a list of messages");
  return chat([userMessage(value)]);
}

function chat(messages: Message[]): RowPrompt {
  return { kind: "chat", messages, isConversation: false };
}

/** OpenAI's preference form: what was sent to the API, in `input`, also where that is text. Null where the prompt is another. */
export function requestIn(columns: RowColumns): Record<string, unknown> | null {
  if (promptColumn(columns) !== "input") return null;
  const input = columns.peek("input");
  const value = typeof input === "string" ? storedValue(input) : input;
  return isRecord(value) && "messages" in value ? value : null;
}

function alpacaPrompt(columns: RowColumns): Message[] {
  const instruction = requireText(columns, "instruction");
  const input = columns.has("input") ? requireText(columns, "input") : null;
  const history = columns.has("history")
    ? readHistory(listIn(columns, "history"), columns.place("history"))
    : [];
  return [...history, userMessage(alpacaQuestion(instruction, input))];
}

/** The row's system message, or null. */
export function readSystem(columns: RowColumns): string | null {
  return columns.has("system") ? requireText(columns, "system") : null;
}

function requireText(columns: RowColumns, name: ColumnName): string {
  const value = columns.get(name);
  if (typeof value === "string") return value;
  throw columns.wrongType(name, "a string");
}

/** A list, also one that a string holds as text. */
export function listIn(columns: RowColumns, name: ColumnName): unknown {
  const value = columns.get(name);
  if (typeof value !== "string") return value;
  const stored = storedValue(value);
  return stored === undefined ? value : stored;
}

/** A text, or the messages that the column holds, be it as text in JSON or Python's notation; `remedy` ends its errors. */
export function readTextOrMessages(columns: RowColumns, name: ColumnName, remedy = ""): string | Message[] {
  const value = columns.get(name);
  const place = columns.place(name);
  if (typeof value === "string") {
    const stored = messagesInText(value, place, remedy);
    return stored === null ? value : readConversation(stored, place);
  }
  const isOne = typeof value === "object" && value !== null && ("role" in value || "from" in value);
  if (Array.isArray(value) || isOne) return readConversation(value, place);
  throw columns.wrongType(name, `a string or a list of messages like {"role": "user", "content": "..."}`);
}

/** An answer as `readTextOrMessages` reads it; text as it is where strings of answers are said to be text. */
export function readAnswer(columns: RowColumns, name: ColumnName): string | Message[] {
  const text = columns.isAnswerText ? columns.get(name) : null;
  if (typeof text === "string") return text;
  return readTextOrMessages(columns, name, columns.canBeAnswerText ? plainTextRemedy : "");
}

/**
 * For answers of plain text without a prompt, which is then what they begin with.
 *
 * @throws DataError when a column could be the prompt, or the strings are to become messages
 */
export function refuseNamelessPrompt(columns: RowColumns, strings: "text" | "chat"): void {
  if (strings === "chat") throw columns.missing(`"prompt" beside the answers, since plain_strings is "chat"`);
  if (columns.exists("prompt")) throw columns.wrongType("prompt", "a prompt beside answers of plain text");
  const { passedOver } = columns.use();
  if (!columns.has("system") && !passedOver.some((column) => mayBePrompt(column, columns.other(column))))
    return;
  throw columns.missing(
    `a prompt: what plain answers begin with is taken for it only where no other column has text, and this row has some`,
  );
}
