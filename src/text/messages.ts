/** Chat messages and tool lists as found in data files: their types, and checks with clear messages. */
import { DataError } from "../base/errors.ts";
import { didYouMean } from "../base/suggest.ts";
import { parseJson } from "./json.ts";
import { notJsonIn, numberOf } from "./json-number.ts";
import { markedAs, objectOf, reorderedKeyIn } from "./key-order.ts";

/** Who speaks. `developer` and `ipython` are other names for system and tool that some templates use. */
export type MessageRole = "system" | "developer" | "user" | "assistant" | "tool" | "ipython";

/** A part of a message whose content is a list. Only text can be trained on here. */
export interface TextPart {
  type: "text";
  text: string;
}

/** One turn of a conversation. Keys that are not named here are kept: the chat template gets them. */
export interface Message {
  role: MessageRole;
  content: string | TextPart[];
  name?: string;
  tool_calls?: unknown[];
  tool_call_id?: string;
  /** The assistant's thinking, kept apart from its answer, under the name that chat templates read. */
  reasoning_content?: string;
  /** Other names of it, as the row has them. Where it has several, `reasoning_content` is the first of `reasoningKeys`. */
  thinking?: string;
  reasoning?: string;
  /** 0: an assistant's message that is not in the loss (OpenAI's and LLaMA-Factory's key). Absent or 1: it is. */
  weight?: 0 | 1;
}

const roles: ReadonlySet<string> = new Set<MessageRole>([
  "system",
  "developer",
  "user",
  "assistant",
  "tool",
  "ipython",
]);
/** Names under which messages have the assistant's thinking: the first that is there counts, as in transformers 5. */
export const reasoningKeys = ["reasoning_content", "thinking", "reasoning"] as const;
const shareGptKeys = ["from", "value"];

/** Keys of messages whose content would be lost here, and what to do. Empty ones are let pass. */
const refusedKeys: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    ["image", "images", "audio", "audios", "video", "videos"].map((key) => [
      key,
      "Models are trained on text here: remove the row or the key.",
    ]),
  ),
  function_call: `Write it as "tool_calls": [{"type": "function", "function": {"name": ..., "arguments": ...}}].`,
  refusal: `Chat templates do not write it: put its text in "content".`,
  train_detail: "Only whole messages can be left out of the loss.",
  training_detail: "Only whole messages can be left out of the loss.",
};
/** Keys that say whether a message counts in the loss: OpenAI's and LLaMA-Factory's, and Axolotl's. */
const lossKeys = ["weight", "loss_weight", "train", "training"];

/**
 * The messages in `value`, checked. Keys that are null count as absent; those that `Message` does not name are kept for
 * the chat template, as transformers hands them over. Axolotl's `train: false` and `training: false` become `weight: 0`.
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
      `${where}: expected an object with "role" and "content", got ${describe(value)}. Fix the row.`,
    );
  }
  const fields = value as Record<string, unknown>;
  const role = parseRole(fields, where);
  const message: Message = { ...otherKeys(fields, where), role, content: parseContent(fields, where) };
  const name = optionalString(fields, "name", where);
  const toolCallId = optionalString(fields, "tool_call_id", where);
  const reasoning = reasoningOf(fields, where);
  const toolCalls = parseToolCalls(fields, where);
  const weight = parseWeight(fields, role, where);
  if (name !== null) message.name = name;
  if (toolCallId !== null) message.tool_call_id = toolCallId;
  Object.assign(message, reasoning);
  if (toolCalls !== null) message.tool_calls = toolCalls;
  if (weight !== null) message.weight = weight;
  const ordered = inOrderOf(fields, message);
  refuseNotJson(ordered, where);
  return ordered;
}

/** `message` with its keys as `fields` has them, and others behind: a template may write whole messages. */
function inOrderOf(fields: Record<string, unknown>, message: Message): Message {
  const values = new Map<string, unknown>(Object.entries(message));
  const names = new Set([...Object.keys(fields), ...values.keys()]);
  const kept = [...names].filter((name) => values.has(name)).map((name) => [name, values.get(name)] as const);
  return markedAs(message, objectOf(kept)) as unknown as Message;
}

/**
 * Refuses values for the chat template that JSON cannot hold, and objects whose keys have lost their order.
 *
 * @throws DataError when NaN, an infinite number, a date or bytes stand in `value`, or a whole number as a key behind others
 */
export function refuseNotJson(value: unknown, where: string): void {
  refuseReordered(value, where);
  const found = notJsonIn(value);
  if (found === null) return;
  throw new DataError(`${where}: expected values that JSON can hold, got ${found}. Write null or a text.`);
}

/** @throws DataError when an object in `value`, which is for a chat template, has lost the order of its keys */
export function refuseReordered(value: unknown, where: string): void {
  const key = reorderedKeyIn(value);
  if (key === null) return;
  throw new DataError(
    `${where}: expected keys whose order is kept, got ${shortName(key)}, a whole number, in an object with other keys before it: ` +
      "here such keys come first, ascending, and the template would write them so. " +
      "Put them first, ascending, or give them another name.",
  );
}

const ownKeys: ReadonlySet<string> = new Set([
  ...["role", "content", "name", "tool_calls", "tool_call_id"],
  ...reasoningKeys,
  ...lossKeys,
  ...Object.keys(refusedKeys),
]);

/** Keys of `message` that only a chat template can read: a second text of thinking is one of them. */
export function templateKeys(message: Message): string[] {
  const others = reasoningKeys.filter(
    (key) => message[key] !== undefined && message[key] !== message.reasoning_content,
  );
  return [...Object.keys(message).filter((key) => !ownKeys.has(key)), ...others];
}

/** The thinking under the names that the row has, and under `reasoning_content`. */
function reasoningOf(fields: Record<string, unknown>, where: string): Partial<Message> {
  const given = reasoningKeys.flatMap((key) => {
    const text = optionalString(fields, key, where);
    return text === null ? [] : [[key, text] as const];
  });
  const [first] = given;
  return first === undefined ? {} : { ...Object.fromEntries(given), reasoning_content: first[1] };
}

/** What a template may read and this program does not: `tool_plan` and the like. */
function otherKeys(fields: Record<string, unknown>, where: string): Record<string, unknown> {
  for (const [key, remedy] of Object.entries(refusedKeys)) {
    if (isNothing(fields[key])) continue;
    throw new DataError(`${where}: expected no "${key}", got ${describe(fields[key])}. ${remedy}`);
  }
  return Object.fromEntries(
    Object.entries(fields).filter(
      ([key, value]) => !ownKeys.has(key) && value !== null && value !== undefined,
    ),
  );
}

function isNothing(value: unknown): boolean {
  return (
    value === undefined || value === null || value === "" || (Array.isArray(value) && value.length === 0)
  );
}

/** 0 or 1 where a key says so, or null. */
function parseWeight(fields: Record<string, unknown>, role: MessageRole, where: string): 0 | 1 | null {
  const weights = lossKeys
    .filter((key) => fields[key] !== undefined && fields[key] !== null)
    .map((key) => {
      const value = fields[key];
      const isFlag = key.startsWith("train");
      const weight = isFlag && typeof value === "boolean" ? Number(value) : isFlag ? null : numberOf(value);
      if (weight === 0 || weight === 1) return weight;
      throw new DataError(
        `${where}: expected "${key}" to be ${isFlag ? "true or false" : "0 or 1"}, got ${describe(value)}. ` +
          `A message counts in the loss or it does not.`,
      );
    });
  const [weight = null, other = weight] = weights;
  if (weight !== other) {
    throw new DataError(
      `${where}: expected one answer to whether it counts in the loss, got two. Fix the row.`,
    );
  }
  if (weight === 1 && role !== "assistant") {
    throw new DataError(
      `${where}: expected only messages of the assistant to count in the loss, got one of ${role} that asks for it. ` +
        `Take "weight" (or "train") out of it.`,
    );
  }
  return weight;
}

function parseRole(fields: Record<string, unknown>, where: string): MessageRole {
  const role = fields["role"];
  if (typeof role === "string" && roles.has(role)) return role as MessageRole;
  if (role === undefined && shareGptKeys.every((key) => key in fields)) {
    throw new DataError(
      `${where}: expected "role" and "content", got "from" and "value" (ShareGPT). ` +
        `Rename the keys, and "human" to "user", "gpt" to "assistant".`,
    );
  }
  const hint = typeof role === "string" ? didYouMean(role, roles) : "";
  throw new DataError(
    `${where}: expected "role" to be one of ${[...roles].join(", ")}, got ${shortName(role)}.${hint}`,
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
      `got ${describe(content)}. Fix the row.`,
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
 * The tools of a row: null when it has no list of them. An empty list is one, as in transformers.
 *
 * @param value - a list of JSON schemas, or such a list as a JSON string
 * @throws DataError when it is neither
 */
export function parseTools(value: unknown, where: string): unknown[] | null {
  if (value === undefined || value === null || value === "") return null;
  const tools = typeof value === "string" ? parseToolsText(value, where) : value;
  // what json.dumps writes for no tools, and TRL reads as none
  if (tools === null) return null;
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
  refuseNotJson(tools, where);
  return tools;
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

/** A role as written there, truncated: rows are not shown in messages. */
function shortName(value: unknown): string {
  if (typeof value !== "string") return describe(value);
  return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}...` : value);
}

function describe(value: unknown): string {
  if (value === undefined) return "nothing";
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "string") return "a string";
  return typeof value === "object" ? "an object" : `${typeof value} ${String(value)}`;
}
