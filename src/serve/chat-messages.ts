/** The messages of a chat request: OpenAI's forms of them, each key used or refused. */
import { DataError } from "../base/errors.ts";
import { isRecord } from "../base/is-record.ts";
import { JsonError, parseJson } from "../text/json.ts";
import { type Message, parseMessages, reasoningKeys, refuseReordered } from "../text/messages.ts";
import { ApiError } from "./api-error.ts";
import { invalid } from "./request-fields.ts";

/** Keys that the chat template gets. */
const used = ["role", "content", "name", "tool_calls", "tool_call_id", ...reasoningKeys];

/** Tool calls of a conversation: each is looked for in what the chat template writes. */
const mostCalls = 1000;

/**
 * The messages, checked. Content is text or a list of text parts; a message that calls tools may have none. Keys that say
 * nothing (null, an empty list) are let through, as OpenAI's clients send answers back with them.
 *
 * @throws {ApiError} naming the message and what is wrong with it
 */
export function chatMessages(value: readonly object[]): Message[] {
  for (const [i, message] of value.entries()) checkKeys(message, `messages[${i}]`);
  let count = 0;
  for (const [i, message] of value.entries()) {
    const calls: unknown = (message as { tool_calls?: unknown }).tool_calls;
    count += Array.isArray(calls) ? calls.length : 0;
    if (count > mostCalls) {
      throw invalid("messages", `expected at most ${mostCalls} tool_calls in all.`);
    }
    if (!Array.isArray(calls) || calls.every(isRecord)) continue;
    throw invalid("messages", `expected objects in messages[${i}].tool_calls.`);
  }
  const known = value.map((message) => {
    const isAssistant = (message as { role?: unknown }).role === "assistant";
    // with calls, an empty list too, a message needs no content
    const isUsed = (key: string, it: unknown) =>
      used.includes(key) && (isAssistant || key !== "tool_calls" || !saysNothing(it));
    return Object.fromEntries(Object.entries(message).filter(([key, it]) => isUsed(key, it)));
  });
  try {
    return parseMessages(known, "messages").map(withParsedCalls);
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    // a message is no row of a file
    throw new ApiError("invalidValue", error.message.replace(/ Fix the row\.$/, ""), { param: "messages" });
  }
}

function checkKeys(message: object, place: string): void {
  refuseStrays(message, used, place);
  const { content } = message as { content?: unknown };
  for (const [j, part] of (Array.isArray(content) ? content : []).entries()) {
    checkPart(part, `${place}.content[${j}]`);
  }
}

function refuseStrays(value: object, keys: readonly string[], place: string): void {
  const stray = Object.entries(value).find(([key, it]) => !keys.includes(key) && !saysNothing(it));
  if (stray === undefined) return;
  throw unsupported(
    `expected keys that this server uses (${keys.join(", ")}), got ${place}.${stray[0].slice(0, 60)}. Leave it out.`,
  );
}

/** What is no part at all {@link parseMessages} refuses. */
function checkPart(part: unknown, place: string): void {
  if (typeof part !== "object" || part === null) return;
  const { type } = part as { type?: unknown };
  if (typeof type === "string" && type !== "text") {
    throw unsupported(
      `expected parts of type "text", got ${JSON.stringify(type.slice(0, 60))} in ${place}. ` +
        "The model reads text alone: leave the part out.",
    );
  }
  refuseStrays(part, ["type", "text"], place);
}

function unsupported(message: string): ApiError {
  return new ApiError("unsupported", `messages: ${message}`, { param: "messages" });
}

function saysNothing(value: unknown): boolean {
  return value === null || value === undefined || (Array.isArray(value) && value.length === 0);
}

/**
 * The message with the arguments of its tool calls as objects: OpenAI's API has them as JSON in a string, and templates
 * write objects. As vLLM does.
 */
function withParsedCalls(message: Message, index: number): Message {
  if (message.tool_calls === undefined) return message;
  const calls = message.tool_calls.map((call) => {
    const called = (call as { function?: { arguments?: unknown } | null }).function;
    if (typeof called?.arguments !== "string") return call;
    return { ...(call as object), function: { ...called, arguments: argumentsOf(called.arguments, index) } };
  });
  return { ...message, tool_calls: calls };
}

function argumentsOf(text: string, index: number): unknown {
  if (text.trim() === "") return {};
  try {
    const value = parseJson(text);
    refuseReordered(value, `messages, message ${index + 1}, the arguments of a tool call`);
    return value;
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    throw new DataError(
      `messages, message ${index + 1}: expected the arguments of a tool call to be JSON, but ${error.message}.`,
    );
  }
}
