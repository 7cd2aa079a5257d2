/** Messages of a conversation for tests. */
import type { Message } from "../../src/text/messages.ts";

export const user = (content: string): Message => ({ role: "user", content });

/** @param more - thinking (`reasoning_content`), tool calls and whatever else the message has */
export const assistant = (content: string, more: Partial<Message> = {}): Message => ({
  role: "assistant",
  content,
  ...more,
});
