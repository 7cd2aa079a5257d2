/** Prompts to answer, from a data file: prompts alone, conversations, or preference and training rows. */
import { DataError } from "../base/errors.ts";
import { type ColumnMap, Columns } from "../data/columns.ts";
import type { RawRow } from "../data/example.ts";
import { readVariables } from "../data/rows.ts";
import { readRows } from "../data/sources.ts";
import { createRowEncoder, type EncoderOptions, type RowEncoder } from "../text/encode.ts";
import { contentText, type Message, parseMessages, parseTools } from "../text/messages.ts";
import type { SourceRow } from "../text/rows.ts";
import type { Tokenizer } from "../text/tokenizer.ts";

/** A prompt ready to be answered. */
export interface Prompt {
  /** File and line, to begin messages with. */
  where: string;
  /** What is asked, to show: the last message, or the plain text. */
  text: string;
  /** Tokens up to where the answer begins. */
  ids: number[];
}

/** How prompts are read. */
export interface PromptFormat
  extends Pick<EncoderOptions, "chatTemplate" | "enableThinking" | "eosTokenIds"> {
  columns?: ColumnMap;
  /** Plain text goes in as it stands even where the tokenizer has a chat template. */
  isPlain?: boolean;
  /** Read no more than so many. */
  limit?: number;
}

/** Prompts, and the tokens that end an answer to them. */
export interface Prompts {
  prompts: Prompt[];
  stopIds: number[];
}

/**
 * The prompts in `path`: a column `prompt` of text or messages (an assistant's turn at its end goes on), `messages` (an answer
 * at their end is left out), or `turns` as in MT-Bench's questions, of which the first is asked; with `tools` and
 * `chat_template_kwargs`. Plain text is a user's message where the tokenizer has a chat template, and goes in as it stands
 * where it has none.
 *
 * @throws {DataError} naming file and line of a row without a prompt
 */
export async function readPrompts(
  path: string,
  tokenizer: Tokenizer,
  format: PromptFormat,
): Promise<Prompts> {
  const { columns = {}, limit = Number.POSITIVE_INFINITY, isPlain = false, ...encoding } = format;
  const hasTemplate = (encoding.chatTemplate ?? null) !== null || tokenizer.chatTemplates.default !== null;
  const isChat = hasTemplate && !isPlain;
  const rows: SourceRow[] = [];
  for await (const row of readRows({ path })) {
    if (rows.length >= limit) break;
    rows.push(promptRow(row, columns, isChat));
  }
  if (rows.length === 0) throw new DataError(`${path}: expected prompts, found no rows.`);
  await using encoder = createRowEncoder(tokenizer, encoding);
  const outcomes = await encoder.encode(rows);
  const prompts = outcomes.map((outcome, i): Prompt => {
    if ("error" in outcome) throw outcome.error;
    const row = rows[i] as SourceRow;
    return { where: row.where, text: shown(row), ids: outcome.row.promptIds };
  });
  return {
    prompts,
    stopIds: await endTokens(tokenizer, encoding.eosTokenIds ?? [], hasTemplate ? encoder : null),
  };
}

/** Tokens that end an answer: those of config and tokenizer, and with `chat` those of its template. */
export async function endTokens(
  tokenizer: Tokenizer,
  eosTokenIds: readonly number[],
  chat: RowEncoder | null,
): Promise<number[]> {
  const ends = new Set(eosTokenIds);
  if (tokenizer.eosTokenId !== null) ends.add(tokenizer.eosTokenId);
  if (chat !== null) for (const id of (await chat.chatFormat()).stopIds) ends.add(id);
  return [...ends];
}

/**
 * @param most - the model's longest context
 * @throws {DataError} naming the first prompt that leaves no room for its answer
 */
export function checkPromptLengths(prompts: readonly Prompt[], maxNewTokens: number, most: number): void {
  for (const { where, ids } of prompts) {
    if (ids.length + maxNewTokens <= most) continue;
    throw new DataError(
      `${where}: the prompt has ${ids.length} tokens, and ${maxNewTokens} more are allowed to the answer; the model was made for ` +
        `${most} in all. Leave the row out, or ask for shorter answers.`,
    );
  }
}

/** The row's prompt, without an answer. */
function promptRow(row: RawRow, map: ColumnMap, isChat: boolean): SourceRow {
  const columns = new Columns(firstTurn(row), map);
  const { where } = columns;
  const name = columns.has("prompt") ? "prompt" : "messages";
  if (!columns.has(name)) throw columns.missing(`"prompt", "messages" or "turns"`);
  const given = columns.get(name);
  const variables = readVariables(columns);
  const tools = parseTools(columns.get("tools"), columns.place("tools"));
  const common = { tools, ...(variables === null ? {} : { variables }) };
  if (typeof given === "string" && name === "prompt") {
    if (!isChat) return { kind: "text", where, prompt: given, completions: [] };
    return { kind: "chat", where, ...common, prompt: [{ role: "user", content: given }], completions: [] };
  }
  const messages = parseMessages(given, columns.place(name));
  const isOpen = messages.at(-1)?.role === "assistant";
  if (isOpen && name === "prompt") {
    return { kind: "chat", where, ...common, prompt: messages, continueFinalMessage: true, completions: [] };
  }
  const prompt = isOpen ? messages.slice(0, -1) : messages;
  return { kind: "chat", where, ...common, prompt, completions: [] };
}

/** The row with the first of its `turns` as its prompt, where it has those and no prompt. */
function firstTurn(row: RawRow): RawRow {
  const { prompt, turns } = row.value;
  const first: unknown = Array.isArray(turns) ? turns[0] : undefined;
  return prompt === undefined && typeof first === "string"
    ? { ...row, value: { ...row.value, prompt: first } }
    : row;
}

function shown(row: SourceRow): string {
  if (row.kind === "text") return row.prompt;
  const message = row.kind === "chat" ? row.prompt.at(-1) : undefined;
  return message === undefined ? "" : contentText(message as Message);
}
