/**
 * What each row means. Its form is decided by the row alone, never by the first row of its file:
 * token ids, pairs with a prompt column or without one, conversational or plain, HH transcripts, `messages`,
 * prompt and completion, running text.
 */
import { DataError } from "../base/errors.ts";
import { parseJson } from "../text/json.ts";
import { numberOf } from "../text/json-number.ts";
import { type Message, parseMessages, parseTools } from "../text/messages.ts";
import type { SourceRow } from "../text/rows.ts";
import { type ColumnMap, type ColumnName, Columns } from "./columns.ts";
import type { Origin, RawRow } from "./example.ts";
import { splitConversations, splitExplicit, splitStrings } from "./prompts.ts";
import { isTokenised, readTokenised, type TokenisedContent } from "./tokenised.ts";
import { isTranscript, splitTranscripts } from "./transcript.ts";

/** What rows are read for. A pair read for "sft" gives its chosen answer. */
export type Task = "preference" | "sft";

/** A row understood: text to encode (`source`) or token ids (`tokens`), exactly one of them. */
export interface NormalRow {
  origin: Origin;
  source: SourceRow | null;
  tokens: TokenisedContent | null;
  /** Reference sums of log-probs, [chosen, rejected], where the row brings both. */
  referenceLogps: number[] | null;
}

/** How rows are read. */
export interface RowOptions {
  task: Task;
  columns?: ColumnMap;
  /**
   * What prompts and answers are that come as plain strings: "text" (default) leaves them as they are, "chat" makes
   * them one user's and one assistant's message for the chat template.
   */
  strings?: "text" | "chat";
}

/**
 * The meaning of `row`.
 *
 * @throws DataError naming file, line and the columns found when the row has no form that fits the task
 */
export function normaliseRow(row: RawRow, options: RowOptions): NormalRow {
  const columns = new Columns(row, options.columns ?? {});
  const referenceLogps = options.task === "preference" ? readReference(columns) : null;
  if (isTokenised(columns)) {
    return { origin: row.origin, source: null, tokens: readTokenised(columns, options.task), referenceLogps };
  }
  const parts = options.task === "preference" ? readPair(columns) : readSupervised(columns);
  checkAnswers(parts, columns.where);
  const source = asSource(options.strings === "chat" ? chatOf(parts) : parts, columns);
  return { origin: row.origin, source, tokens: null, referenceLogps };
}

/** A row's text before tools and file name are added. */
type Parts =
  | { kind: "chat"; prompt: Message[]; completions: Message[][] }
  | { kind: "conversation"; messages: Message[] }
  | { kind: "text"; prompt: string; completions: string[] }
  | { kind: "plain"; text: string };

function readPair(columns: Columns): Parts {
  if (!columns.has("chosen") || !columns.has("rejected")) {
    throw columns.missing(
      `"chosen" and "rejected" (with or without "prompt"), or "prompt_ids", "chosen_ids" and "rejected_ids"`,
    );
  }
  return splitAnswers(columns, ["chosen", "rejected"]);
}

function readSupervised(columns: Columns): Parts {
  if (columns.has("messages")) return { kind: "conversation", messages: readMessages(columns, "messages") };
  if (columns.has("prompt") && columns.has("completion")) return splitAnswers(columns, ["completion"]);
  if (columns.has("chosen")) {
    const names: ColumnName[] = columns.has("rejected") ? ["chosen", "rejected"] : ["chosen"];
    const parts = splitAnswers(columns, names);
    return "completions" in parts ? keepFirst(parts) : parts;
  }
  const text = columns.get("text");
  if (typeof text === "string") return { kind: "plain", text };
  if (text !== undefined) throw columns.wrongType("text", "a string");
  throw columns.missing(
    `"messages", "prompt" and "completion", "text", "chosen", or "prompt_ids" and "completion_ids"`,
  );
}

function keepFirst(parts: Extract<Parts, { kind: "chat" | "text" }>): Parts {
  return parts.kind === "chat"
    ? { ...parts, completions: parts.completions.slice(0, 1) }
    : { ...parts, completions: parts.completions.slice(0, 1) };
}

function splitAnswers(columns: Columns, names: readonly ColumnName[]): Parts {
  const { where } = columns;
  const answers = names.map((name) => readTextOrMessages(columns, name));
  const prompt = columns.has("prompt") ? readTextOrMessages(columns, "prompt") : null;
  const texts = answers.filter((answer) => typeof answer === "string");
  const isText = texts.length === answers.length;
  if (prompt !== null) {
    return typeof prompt === "string" && isText
      ? { kind: "text", prompt, completions: texts }
      : { kind: "chat", ...splitExplicit(prompt, answers, where) };
  }
  if (!isText) {
    const conversations = answers.filter((answer) => typeof answer !== "string");
    if (conversations.length === answers.length) {
      return { kind: "chat", ...splitConversations(conversations, where) };
    }
    throw new DataError(
      `${where}: expected both answers to be strings or both lists of messages. Mend the row.`,
    );
  }
  const [chosen = "", rejected = chosen] = texts;
  if (isTranscript(chosen) && isTranscript(rejected)) {
    const pair = splitTranscripts(chosen, rejected, where);
    return {
      kind: "chat",
      prompt: pair.prompt,
      completions: [pair.chosen, pair.rejected].slice(0, texts.length),
    };
  }
  if (texts.length === 1) throw columns.missing(`"prompt" beside a single answer of plain text`);
  return { kind: "text", ...splitStrings(texts, where) };
}

function readTextOrMessages(columns: Columns, name: ColumnName): string | Message[] {
  const value = columns.get(name);
  if (typeof value === "string") {
    const list = columns.isText ? messagesInCell(value) : null;
    return list === null ? value : parseMessages(list, columns.place(name));
  }
  if (Array.isArray(value)) return parseMessages(value, columns.place(name));
  throw columns.wrongType(name, `a string or a list of messages like {"role": "user", "content": "..."}`);
}

function readMessages(columns: Columns, name: ColumnName): Message[] {
  const value = columns.get(name);
  const list = columns.isText && typeof value === "string" ? messagesInCell(value) : value;
  return parseMessages(list, columns.place(name));
}

/** The list of messages that a CSV cell holds as JSON, or null when it is plain text. */
function messagesInCell(cell: string): unknown[] | null {
  if (!cell.trimStart().startsWith("[")) return null;
  try {
    const value = parseJson(cell);
    const isMessage = (item: unknown): boolean => typeof item === "object" && item !== null && "role" in item;
    return Array.isArray(value) && value.length > 0 && value.every(isMessage) ? value : null;
  } catch {
    return null;
  }
}

function readReference(columns: Columns): number[] | null {
  const names = ["ref_chosen_logps", "ref_rejected_logps"] as const;
  const present = names.filter((name) => columns.has(name));
  if (present.length === 0) return null;
  if (present.length === 1) throw columns.missing(`"ref_chosen_logps" and "ref_rejected_logps" together`);
  return names.map((name) => {
    const value = columns.get(name);
    const number = columns.isText && typeof value === "string" ? Number(value) : numberOf(value);
    if (number !== null && Number.isFinite(number)) return number;
    throw columns.wrongType(name, "a finite number (sum of log-probabilities over the answer)");
  });
}

/** Strings as one user's and one assistant's message. */
function chatOf(parts: Parts): Parts {
  if (parts.kind !== "text") return parts;
  const completions = parts.completions.map((content): Message[] => [{ role: "assistant", content }]);
  return { kind: "chat", prompt: [{ role: "user", content: parts.prompt }], completions };
}

/** An answer of nothing but white space teaches the model to say nothing. */
function checkAnswers(parts: Parts, where: string): void {
  if (!("completions" in parts)) return;
  for (const [index, completion] of parts.completions.entries()) {
    if (!isBlank(completion)) continue;
    throw new EmptyAnswerError(
      `${where}: expected answer ${index + 1} of ${parts.completions.length} to have text, but it is empty. Remove the row.`,
    );
  }
}

/** An answer without text. */
export class EmptyAnswerError extends DataError {}

function isBlank(completion: string | Message[]): boolean {
  if (typeof completion === "string") return completion.trim() === "";
  return completion.every(
    ({ content, tool_calls, reasoning_content }) =>
      tool_calls === undefined &&
      (reasoning_content ?? "").trim() === "" &&
      (typeof content === "string" ? content : content.map(({ text }) => text).join("")).trim() === "",
  );
}

function asSource(parts: Parts, columns: Columns): SourceRow {
  const { where } = columns;
  if (parts.kind === "text" || parts.kind === "plain") return { ...parts, where };
  const tools = parseTools(columns.get("tools"), columns.place("tools"));
  const variables = readVariables(columns);
  return { ...parts, where, tools, ...(variables === null ? {} : { variables }) };
}

function readVariables(columns: Columns): Record<string, unknown> | null {
  let value = columns.get("chat_template_kwargs");
  if (value === undefined) return null;
  if (typeof value === "string") {
    try {
      value = parseJson(value);
    } catch {
      throw columns.wrongType("chat_template_kwargs", "an object or JSON of one");
    }
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>;
  throw columns.wrongType("chat_template_kwargs", "an object");
}
