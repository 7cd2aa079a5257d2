/** Messages as people and judges read them. */
import { isRecord } from "../base/is-record.ts";
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

/**
 * What an assistant could call, a paragraph a tool: its name with what it does, and its parameters as JSON. One with other keys, which
 * would not be seen, stands as JSON whole.
 */
export function toolsText(tools: readonly unknown[]): string {
  return tools.map(toolText).join("\n\n");
}

function toolText(tool: unknown): string {
  // a function alone, as some files have it, or OpenAI's object around it
  const inner = isRecord(tool) && hasOnly(tool, ["type", "function"]) ? tool["function"] : tool;
  if (!isRecord(inner) || !hasOnly(inner, ["name", "description", "parameters"])) return jsonOf(tool);
  const { name, description = "", parameters } = inner;
  if (typeof name !== "string" || typeof description !== "string") return jsonOf(tool);
  const title = description === "" ? name : `${name}: ${description}`;
  return parameters === undefined ? title : `${title}\n${jsonOf(parameters)}`;
}

function hasOnly(record: Readonly<Record<string, unknown>>, keys: readonly string[]): boolean {
  return Object.keys(record).every((key) => keys.includes(key));
}
