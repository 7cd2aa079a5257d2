/** Chat messages and tool lists as they stand in data files: their types, and checks with clear messages. */
import { DataError } from "../base/errors.ts";
import { didYouMean } from "../base/suggest.ts";
import { parseJson } from "./json.ts";

/** Who speaks. `developer` and `ipython` are other names for system and tool that some templates use. */
export type Role = "system" | "developer" | "user" | "assistant" | "tool" | "ipython";

/** A part of a message whose content is a list. Only text can be trained on here. */
export interface TextPart {
  type: "text";
  text: string;
}

/** One turn of a conversation. */
export interface Message {
  role: Role;
  content: string | TextPart[];
  name?: string;
  tool_calls?: unknown[];
  tool_call_id?: string;
  /** The assistant's thinking, kept apart from its answer. */
  reasoning_content?: string;
}

const roles: ReadonlySet<string> = new Set<Role>([
  "system",
  "developer",
  "user",
  "assistant",
  "tool",
  "ipython",
]);
const shareGptKeys = ["from", "value"];

/**
 * The messages in `value`, checked. Keys other than those of `Message` are left out.
 *
 * @param where - file, line and column name, to begin error messages with
 * @throws DataError when `value` is not a list of at least one message, a role is unknown, or content is not text
 */
export function parseMessages(value: unknown, where: string): Message[] {
  if (!Array.isArray(value)) {
    throw new DataError(
      `${where}: expected a list of messages like {"role": "user", "content": "..."}, got ${describe(value)}.`,
    );
  }
  if (value.length === 0) {
    throw new DataError(`${where}: expected at least one message, got an empty list. Remove the row.`);
  }
  return value.map((message, index) => parseMessage(message, `${where}, message ${index + 1}`));
}

function parseMessage(value: unknown, where: string): Message {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new DataError(
      `${where}: expected an object with "role" and "content", got ${describe(value)}. Mend the row.`,
    );
  }
  const fields = value as Record<string, unknown>;
  const message: Message = { role: parseRole(fields, where), content: parseContent(fields, where) };
  const name = optionalString(fields, "name", where);
  const toolCallId = optionalString(fields, "tool_call_id", where);
  const reasoning = optionalString(fields, "reasoning_content", where);
  const toolCalls = parseToolCalls(fields, where);
  if (name !== null) message.name = name;
  if (toolCallId !== null) message.tool_call_id = toolCallId;
  if (reasoning !== null) message.reasoning_content = reasoning;
  if (toolCalls !== null) message.tool_calls = toolCalls;
  return message;
}

function parseRole(fields: Record<string, unknown>, where: string): Role {
  const role = fields["role"];
  if (typeof role === "string" && roles.has(role)) return role as Role;
  if (role === undefined && shareGptKeys.every((key) => key in fields)) {
    throw new DataError(
      `${where}: expected "role" and "content", got "from" and "value" (ShareGPT). ` +
        `Rename the keys, and "human" to "user", "gpt" to "assistant".`,
    );
  }
  const hint = typeof role === "string" ? didYouMean(role, roles) : "";
  throw new DataError(
    `${where}: expected "role" to be one of ${[...roles].join(", ")}, got ${describe(role)}.${hint}`,
  );
}

function parseContent(fields: Record<string, unknown>, where: string): string | TextPart[] {
  const content = fields["content"];
  if (typeof content === "string") return content;
  if (Array.isArray(content)) return content.map((part, i) => parsePart(part, `${where}, part ${i + 1}`));
  // The OpenAI form leaves the content out of a message that only calls tools.
  if ((content === null || content === undefined) && Array.isArray(fields["tool_calls"])) return "";
  throw new DataError(
    `${where}: expected "content" to be a string or a list of {"type": "text", "text": "..."}, ` +
      `got ${describe(content)}. Mend the row.`,
  );
}

function parsePart(part: unknown, where: string): TextPart {
  const fields = typeof part === "object" && part !== null ? (part as Record<string, unknown>) : {};
  const type = fields["type"];
  if (type === "text" && typeof fields["text"] === "string") return { type, text: fields["text"] };
  if (typeof type === "string" && type !== "text") {
    throw new DataError(
      `${where}: expected only parts of type "text", got "${type}". ` +
        `Models are trained on text here: remove the row or the part.`,
    );
  }
  throw new DataError(`${where}: expected {"type": "text", "text": "..."}, got ${describe(part)}.`);
}

function optionalString(fields: Record<string, unknown>, key: string, where: string): string | null {
  const value = fields[key];
  if (value === undefined || value === null) return null;
  if (typeof value === "string") return value;
  throw new DataError(`${where}: expected "${key}" to be a string, got ${describe(value)}.`);
}

function parseToolCalls(fields: Record<string, unknown>, where: string): unknown[] | null {
  const value = fields["tool_calls"];
  // Columnar files write null or an empty list where a message calls nothing.
  if (value === undefined || value === null) return null;
  if (!Array.isArray(value)) {
    throw new DataError(`${where}: expected "tool_calls" to be a list, got ${describe(value)}.`);
  }
  return value.length === 0 ? null : value;
}

/**
 * The tools of a row: null when there are none.
 *
 * @param value - a list of JSON schemas, or such a list as a JSON string
 * @throws DataError when it is neither
 */
export function parseTools(value: unknown, where: string): unknown[] | null {
  if (value === undefined || value === null || value === "") return null;
  const tools = typeof value === "string" ? parseToolsText(value, where) : value;
  if (!Array.isArray(tools)) {
    throw new DataError(
      `${where}: expected "tools" to be a list of tool descriptions, got ${describe(tools)}.`,
    );
  }
  for (const [index, tool] of tools.entries()) {
    if (typeof tool !== "object" || tool === null || Array.isArray(tool)) {
      throw new DataError(`${where}: expected tool ${index + 1} to be an object, got ${describe(tool)}.`);
    }
  }
  return tools.length === 0 ? null : tools;
}

function parseToolsText(text: string, where: string): unknown {
  try {
    return parseJson(text);
  } catch (error) {
    throw new DataError(`${where}: expected "tools" to be a list or JSON, got a string that is not JSON.`, {
      cause: error,
    });
  }
}

/** The content of a message as one string. */
export function contentText(message: Message): string {
  return typeof message.content === "string"
    ? message.content
    : message.content.map((part) => part.text).join("");
}

function describe(value: unknown): string {
  if (value === undefined) return "nothing";
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "string")
    return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}...` : value);
  return typeof value === "object" ? "an object" : `${typeof value} ${String(value)}`;
}
