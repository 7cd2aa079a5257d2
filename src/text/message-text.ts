/** Messages as people and judges read them. */
import { jsonOf } from "./json-number.ts";
import type { Message } from "./messages.ts";

/** The content of a message as one string. */
export function contentText({ content }: Message): string {
  return typeof content === "string" ? content : content.map((part) => part.text).join("");
}

/** All that a message says: its thinking, its content and its tool calls as JSON, each from a new line. */
export function messageText(message: Message): string {
  const { reasoning_content, tool_calls } = message;
  const calls = tool_calls === undefined ? "" : jsonOf(tool_calls);
  return [reasoning_content ?? "", contentText(message), calls].filter((one) => one !== "").join("\n");
}

/** Prompt or answer as one text: messages under the names of their roles, an only message without. */
export function plainText(part: string | readonly Message[]): string {
  if (typeof part === "string") return part;
  const [only] = part;
  if (part.length === 1 && only !== undefined) return messageText(only);
  return part.map((message) => `${message.role}: ${messageText(message)}`).join("\n\n");
}
