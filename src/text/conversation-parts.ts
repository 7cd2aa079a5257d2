/** The parts of a conversation that a chat template has to write, and the conversation with marks in them. */
import { isRecord } from "../base/is-record.ts";
import { contentText } from "./message-text.ts";
import { type Message, reasoningKeys } from "./messages.ts";
import type { RenderRequest } from "./template.ts";

/** A part of a conversation. */
export interface Part {
  /** Place and kind: conversations with the same keys have one shape. */
  key: string;
  /** What stands in a rendering word for word, unless the template changes it. */
  texts: string[];
  /** True for what may be left out of the history: thinking of earlier turns, by design, and calls where that is allowed. */
  mayBeMissing: boolean;
  /** What it is, for messages. */
  label: string;
  /** What to do where it is not written. */
  remedy: string;
  /** The request with `mark`, a word, put into this part. */
  apply: (request: RenderRequest, mark: string) => RenderRequest;
}

type Change = (message: Message, mark: string) => Message;

const otherTemplate = "Give a template that writes it with chat_template";

/** What may be missing in a rendering. */
export interface Allowance {
  /** Index of the first message whose thinking has to be there. */
  learnedFrom: number;
  /** Whether calls that a tool's message answers may be missing. */
  mayDropAnsweredCalls: boolean;
}

/** The parts of `request`. */
export function conversationParts(request: RenderRequest, allowance: Allowance): Part[] {
  const { messages } = request;
  const parts = messages.flatMap((message, index) => {
    const isAnswered = allowance.mayDropAnsweredCalls && isTool(messages[index + 1]);
    return messageParts(message, index, { ...allowance, mayDropAnsweredCalls: isAnswered });
  });
  for (const [index, tool] of (request.tools ?? []).entries()) parts.push(toolPart(tool, index));
  return parts;
}

interface Place {
  message: Message;
  index: number;
}

function isTool(message: Message | undefined): boolean {
  return message?.role === "tool" || message?.role === "ipython";
}

function messageParts(message: Message, index: number, allowance: Allowance): Part[] {
  const { learnedFrom, mayDropAnsweredCalls } = allowance;
  const place = { message, index };
  const isAssistant = message.role === "assistant";
  const { thinking, answer } = isAssistant ? splitThinking(contentText(message)) : withoutThinking(message);
  const isHistory = isAssistant && index < learnedFrom;
  const parts: Part[] = [];
  if (thinking.trim() !== "") parts.push(thinkingPart(place, isHistory));
  if (answer.trim() !== "") parts.push(contentPart(place, answer));
  if ((message.reasoning_content ?? "").trim() !== "") parts.push(reasoningPart(place, isHistory));
  for (const call of (message.tool_calls ?? []).keys()) {
    parts.push(...callParts(place, call, mayDropAnsweredCalls));
  }
  // A tool's name and the id of the call it answers repeat what the call says.
  if (!isTool(message) && (message.name ?? "").trim() !== "") parts.push(namePart(place));
  return parts;
}

function withoutThinking(message: Message): { thinking: string; answer: string } {
  return { thinking: "", answer: contentText(message) };
}

const thinkEnd = "</think>";

/** What stands before the last `</think>`, without the tags, and what stands behind it. */
function splitThinking(content: string): { thinking: string; answer: string } {
  const at = content.lastIndexOf(thinkEnd);
  if (at < 0) return { thinking: "", answer: content };
  const before = content.slice(0, at);
  return { thinking: before.replaceAll(/<\/?think>/g, ""), answer: content.slice(at + thinkEnd.length) };
}

interface OwnPart extends Pick<Part, "texts" | "remedy"> {
  what: string;
  mayBeMissing?: boolean;
  change: Change;
}

/** The part of a message that `field` names. */
function partOf({ message, index }: Place, field: string, own: OwnPart): Part {
  const { texts, remedy, change, mayBeMissing = false } = own;
  return {
    key: `${message.role} ${index} ${field}${mayBeMissing ? " history" : ""}`,
    texts,
    mayBeMissing,
    label: `${own.what} of message ${index + 1} (role ${message.role})`,
    remedy,
    apply: (request, mark) => {
      const messages = request.messages.map((old, i) => (i === index ? change(old, mark) : old));
      return { ...request, messages };
    },
  };
}

function contentPart(place: Place, answer: string): Part {
  const remedy =
    place.message.role === "developer"
      ? `Call the role system, or give a template that writes it with chat_template.`
      : `${otherTemplate}, or take the message out.`;
  return partOf(place, `content${contentForm(answer)}`, {
    what: `"content"`,
    texts: [answer.trim()],
    remedy,
    change: (message, mark) => {
      const content = contentText(message);
      const from = message.role === "assistant" ? content.length - splitThinking(content).answer.length : 0;
      return { ...message, content: content.slice(0, from) + markEnd(content.slice(from), mark) };
    },
  });
}

/** Templates distinguish contents by the tags they begin and end with. */
function contentForm(text: string): string {
  const inner = text.trim();
  const begins = /^<[^<>\s]{1,60}>/.exec(inner)?.[0] ?? "";
  return begins + inner.slice(endOfWords(inner));
}

/** Where `text` ends but for white space and tags that close it. */
function endOfWords(text: string): number {
  let end = text.trimEnd().length;
  while (text[end - 1] === ">") {
    const open = text.lastIndexOf("<", end - 1);
    if (open < 0 || end - open > 60 || /\s/.test(text.slice(open, end))) break;
    end = text.slice(0, open).trimEnd().length;
  }
  return end;
}

/** `text` with `mark` behind its last word, or at its end where there is none. */
function markEnd(text: string, mark: string): string {
  const at = endOfWords(text);
  return at === 0 ? text + mark : text.slice(0, at) + mark + text.slice(at);
}

function thinkingPart(place: Place, isHistory: boolean): Part {
  const { thinking } = splitThinking(contentText(place.message));
  return partOf(place, "thinking", {
    what: `the thinking in "content"`,
    texts: [thinking.trim()],
    mayBeMissing: isHistory,
    remedy: `${otherTemplate}, or take <think>...</think> out of the answer.`,
    change: (message, mark) => {
      const content = contentText(message);
      const at = content.lastIndexOf(thinkEnd);
      return { ...message, content: markEnd(content.slice(0, at), mark) + content.slice(at) };
    },
  });
}

function reasoningPart(place: Place, isHistory: boolean): Part {
  const reasoning = place.message.reasoning_content ?? "";
  return partOf(place, "reasoning_content", {
    what: `"reasoning_content"`,
    texts: [reasoning.trim()],
    mayBeMissing: isHistory,
    remedy: `${otherTemplate}, or put it into "content" as the model writes it.`,
    change: (message, mark) => {
      const names = reasoningKeys.filter((name) => message[name] === reasoning);
      return { ...message, ...Object.fromEntries(names.map((name) => [name, markEnd(reasoning, mark)])) };
    },
  });
}

function namePart(place: Place): Part {
  const name = place.message.name ?? "";
  return partOf(place, "name", {
    what: `"name"`,
    texts: [name.trim()],
    remedy: `${otherTemplate}, or put the name into the content.`,
    change: (message, mark) => ({ ...message, name: markEnd(name, mark) }),
  });
}

const callField = "tool_calls";

/** Whether a part's key is that of a tool call. */
export function isCallKey(key: string): boolean {
  return key.split(" ")[2] === callField;
}

/** Name and arguments of a call; all of it where it has neither. */
function callParts(place: Place, call: number, mayBeMissing: boolean): Part[] {
  const { name, hasArguments } = callForm(place.message.tool_calls?.[call]);
  const part = (what: string, texts: string[], change: (call: unknown, mark: string) => unknown): Part =>
    partOf(place, `${callField} ${call} ${what}`, {
      mayBeMissing,
      what: `${what}call ${call + 1} in "tool_calls"`,
      texts,
      remedy: `${otherTemplate}, or write the call into "content" as the model writes it.`,
      change: (message, mark) => ({
        ...message,
        tool_calls: (message.tool_calls ?? []).map((old, i) => (i === call ? change(old, mark) : old)),
      }),
    });
  const parts: Part[] = [];
  if (name !== null) {
    parts.push(part("", [name], (given, mark) => changeCall(given, { name: name + mark })));
  }
  if (hasArguments) {
    parts.push(
      part("the arguments of ", [], (given, mark) =>
        changeCall(given, { arguments: markArguments(functionOf(given)?.["arguments"], mark) }),
      ),
    );
  }
  if (parts.length === 0) parts.push(part("", [], (given, mark) => changeCall(given, { [mark]: mark })));
  return parts;
}

type Fields = Record<string, unknown>;

function fieldsOf(value: unknown): Fields | null {
  return isRecord(value) ? value : null;
}

/** The object with name and arguments: OpenAI's form has it under "function", others write it plainly. */
function functionOf(call: unknown): Fields | null {
  const fields = fieldsOf(call);
  return fields === null ? null : (fieldsOf(fields["function"]) ?? fields);
}

/** What of a call has to be written. */
function callForm(call: unknown): { name: string | null; hasArguments: boolean } {
  const { name, arguments: given } = functionOf(call) ?? {};
  const isEmpty =
    typeof given === "string" ? /^(\{\s*\})?$/.test(given.trim()) : Object.keys(given ?? {}).length === 0;
  return { name: typeof name === "string" ? name : null, hasArguments: !isEmpty };
}

/** A call or a tool with fields of its function changed; a text in the place of a call that is no object. */
function changeCall(call: unknown, changed: Fields): unknown {
  const fields = fieldsOf(call);
  if (fields === null) return JSON.stringify([call, changed]);
  const marked = { ...functionOf(call), ...changed };
  return fieldsOf(fields["function"]) === null ? marked : { ...fields, function: marked };
}

function markArguments(given: unknown, mark: string): unknown {
  if (typeof given !== "string") return { ...fieldsOf(given), [mark]: mark };
  try {
    const parsed = fieldsOf(JSON.parse(given));
    return parsed === null ? given + mark : JSON.stringify({ ...parsed, [mark]: mark });
  } catch {
    return given + mark;
  }
}

function toolPart(tool: unknown, index: number): Part {
  const name = functionOf(tool)?.["name"];
  const isNamed = typeof name === "string";
  return {
    key: `tools ${index}`,
    texts: isNamed ? [name] : [],
    mayBeMissing: false,
    label: isNamed ? `"tools" (${JSON.stringify(name)})` : `tool ${index + 1} in "tools"`,
    remedy: `${otherTemplate}, describe the tools in a system message, or leave the column out.`,
    apply: (request, mark) => {
      const change = isNamed ? { name: name + mark } : { [mark]: mark };
      const tools = (request.tools ?? []).map((old, i) => (i === index ? changeCall(old, change) : old));
      return { ...request, tools };
    },
  };
}
