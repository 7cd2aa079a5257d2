/** The messages of a chat request: OpenAI's forms of them, each key used or refused. */
import { DataError } from "../base/errors.ts";
import { type Message, parseMessages } from "../text/messages.ts";
import { ApiError } from "./api-error.ts";

/** Keys that the chat template gets. */
const used = ["role", "content", "name", "tool_calls", "tool_call_id", "reasoning_content"];

/**
 * The messages, checked. Content is text or a list of text parts; a message that calls tools may have none. Keys that say
 * nothing (null, an empty list) are let through, as OpenAI's clients send answers back with them.
 *
 * @throws {ApiError} naming the message and what is wrong with it
 */
export function chatMessages(value: readonly object[]): Message[] {
  for (const [i, message] of value.entries()) {
    const stray = Object.entries(message).find(([key, it]) => !used.includes(key) && !saysNothing(it));
    if (stray === undefined) continue;
    const name = `messages[${i}].${stray[0].slice(0, 60)}`;
    throw new ApiError(
      "unsupported",
      `messages: expected keys that this server uses (${used.join(", ")}), got ${name}. Leave it out.`,
      { param: "messages" },
    );
  }
  try {
    return parseMessages(value, "messages");
  } catch (error) {
    if (error instanceof DataError) throw new ApiError("invalidValue", error.message, { param: "messages" });
    throw error;
  }
}

function saysNothing(value: unknown): boolean {
  return value === null || value === undefined || (Array.isArray(value) && value.length === 0);
}
