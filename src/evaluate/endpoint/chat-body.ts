/** Bodies of OpenAI-style chat completions: what is sent, and what of a reply is used. */
import { messageOf } from "../../base/errors.ts";
import { isRecord } from "../../base/is-record.ts";

/** A message to a chat endpoint. */
export interface ChatMessage {
  role: "system" | "user" | "assistant";
  content: string;
}

/** What is asked of a chat endpoint. */
export interface ChatRequest {
  messages: readonly ChatMessage[];
  temperature: number;
  maxTokens: number;
}

/** Tokens that an endpoint counted. */
export interface Usage {
  promptTokens: number;
  completionTokens: number;
}

/** An endpoint's answer. */
export interface ChatReply {
  text: string;
  /** "stop", "length" or what else the endpoint says; null when it says nothing. */
  finishReason: string | null;
  /** Null when the endpoint does not count. */
  usage: Usage | null;
}

/** Longest answer that is read. */
const maxBodyBytes = 16 * 1024 * 1024;

/**
 * The body of a request.
 *
 * @param extra - further fields, which win; null takes a field out
 */
export function requestBody(
  model: string,
  request: ChatRequest,
  extra: Readonly<Record<string, unknown>>,
): string {
  const { messages, temperature, maxTokens } = request;
  const fields = { model, messages, temperature, max_tokens: maxTokens, stream: false, ...extra };
  return JSON.stringify(Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null)));
}

/**
 * The text of a response, up to a limit of bytes.
 *
 * @throws {Error} when it is longer or ends early
 */
export async function readBody(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > maxBodyBytes) throw new Error(`the answer is longer than ${maxBodyBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** The answer in a body, or what is wrong with it as a string. */
export function parseReply(body: string): ChatReply | string {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch (error) {
    return `an answer that is no JSON (${messageOf(error)})`;
  }
  const choices = isRecord(value) ? value["choices"] : undefined;
  const choice: unknown = Array.isArray(choices) ? choices[0] : undefined;
  const message = isRecord(choice) ? choice["message"] : undefined;
  if (!isRecord(value) || !isRecord(choice) || !isRecord(message)) {
    // Some say what is wrong under the status of an answer.
    const error = isRecord(value) ? (value["error"] ?? null) : null;
    return error === null ? `an answer without "choices" with a "message"` : `an error: ${errorText(body)}`;
  }
  const reason = choice["finish_reason"];
  // A refusal, or nothing because the limit went into thinking, is an answer too: one without a verdict.
  // Thinking in a separate field (`reasoning_content`, `reasoning`) is not read.
  const text = contentText(message["content"] ?? message["refusal"] ?? "");
  if (text === null) return `an answer whose "content" is no text`;
  return { text, finishReason: typeof reason === "string" ? reason : null, usage: usageOf(value["usage"]) };
}

/** A text, or the texts of a list of parts without those that are thoughts; null for anything else. */
function contentText(content: unknown): string | null {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return null;
  const parts = content.map((part: unknown) => {
    if (!isRecord(part)) return null;
    const { type, text } = part;
    if (type === "thinking" || type === "redacted_thinking" || type === "reasoning") return "";
    return (type === "text" || type === "output_text") && typeof text === "string" ? text : null;
  });
  return parts.includes(null) ? null : parts.join("");
}

function usageOf(value: unknown): Usage | null {
  if (!isRecord(value)) return null;
  const { prompt_tokens: prompt, completion_tokens: completion } = value;
  const isCount = (count: unknown): count is number => Number.isSafeInteger(count) && Number(count) >= 0;
  return isCount(prompt) && isCount(completion)
    ? { promptTokens: prompt, completionTokens: completion }
    : null;
}

/** What an error's body says, in one short line without anything that could steer a terminal. */
export function errorText(body: string): string {
  let text = body;
  try {
    const value: unknown = JSON.parse(body);
    const error = isRecord(value) ? (value["error"] ?? value["message"] ?? value["detail"]) : undefined;
    const message = isRecord(error) ? error["message"] : error;
    if (typeof message === "string") text = message;
  } catch {
    // Not every error is JSON.
  }
  const line = text.replace(/[\s\p{C}]+/gu, " ").trim();
  return line.length > 300 ? `${line.slice(0, 299)}…` : line;
}

/** The code of an error's body (`insufficient_quota`), or null. */
export function errorCodeOf(body: string): string | null {
  try {
    const value: unknown = JSON.parse(body);
    const error = isRecord(value) ? value["error"] : undefined;
    const code = isRecord(error) ? (error["code"] ?? error["type"]) : undefined;
    return typeof code === "string" ? code : null;
  } catch {
    return null;
  }
}
