/** Messages as people and judges read them. Imports nothing: the dashboard's page uses it too. */
import type { Message } from "./messages.ts";

/** All that a message says: its thinking, its content and its tool calls as JSON, each from a new line. */
export function messageText({ content, reasoning_content, tool_calls }: Message): string {
  const text = typeof content === "string" ? content : content.map((part) => part.text).join("");
  const calls = tool_calls === undefined ? "" : JSON.stringify(tool_calls);
  return [reasoning_content ?? "", text, calls].filter((one) => one !== "").join("\n");
}

/** Prompt or answer as one text: messages under the names of their roles, an only message without. */
export function plainText(part: string | readonly Message[]): string {
  if (typeof part === "string") return part;
  const [only] = part;
  if (part.length === 1 && only !== undefined) return messageText(only);
  return part.map((message) => `${message.role}: ${messageText(message)}`).join("\n\n");
}
