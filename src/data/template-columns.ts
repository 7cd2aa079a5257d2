/** What a row brings for the chat template beside its messages: tools and variables. */
import { isRecord } from "../base/is-record.ts";
import { parseTools, refuseNotJson } from "../text/messages.ts";
import type { ChatRow } from "../text/source-rows.ts";
import { refuseOwnVariables } from "../text/template.ts";
import type { RowColumns } from "./columns.ts";
import { hasShareGpt } from "./conversations.ts";
import { requestIn } from "./prompt-columns.ts";
import { storedValue } from "./stored-text.ts";

/**
 * The row's `tools`, those of OpenAI's `input` among them, and its `chat_template_kwargs`; also where they are text.
 *
 * @throws DataError when they are no list of objects and no object
 */
export function templateInputs(columns: RowColumns): Pick<ChatRow, "tools" | "variables"> {
  const variables = readVariables(columns);
  return { tools: readTools(columns), ...(variables === null ? {} : { variables }) };
}

function readTools(columns: RowColumns): unknown[] | null {
  const request = columns.has("tools") ? null : requestIn(columns);
  const given = request === null ? columns.get("tools") : columns.part("input", "tools", request);
  const stored = typeof given === "string" ? (storedValue(given) ?? given) : given;
  const tools = parseTools(stored, columns.place(request === null ? "tools" : "input"));
  // LLaMA-Factory's data lists bare functions beside conversations of ShareGPT's form, and wraps them itself.
  const isShareGpt = hasShareGpt(columns.peek("conversations") ?? columns.peek("messages"));
  return tools === null || !isShareGpt ? tools : tools.map(asFunction);
}

function asFunction(tool: unknown): unknown {
  const isBare = typeof tool === "object" && tool !== null && "name" in tool && !("type" in tool);
  return isBare ? { type: "function", function: tool } : tool;
}

function readVariables(columns: RowColumns): Record<string, unknown> | null {
  let value = columns.get("chat_template_kwargs");
  if (value === undefined) return null;
  if (typeof value === "string") value = storedValue(value);
  if (isRecord(value)) {
    refuseNotJson(value, columns.place("chat_template_kwargs"));
    refuseOwnVariables(value, columns.place("chat_template_kwargs"));
    return value;
  }
  throw columns.wrongType("chat_template_kwargs", "an object or JSON of one");
}
