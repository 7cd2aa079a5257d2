/** Prompts to answer, from a data file: prompts alone, conversations, or preference and training rows. */
import process from "node:process";
import { at } from "../base/at.ts";
import { ConfigError, DataError } from "../base/errors.ts";
import { statsOf } from "../base/open-file.ts";
import { warn } from "../base/warn.ts";
import type { RowEncoder } from "../text/encode.ts";
import { contentText } from "../text/message-text.ts";
import type { Message } from "../text/messages.ts";
import { promptWarnings, type SourceRow } from "../text/source-rows.ts";
import { ByteReader } from "./byte-reader.ts";
import { type ColumnMap, RowColumns } from "./columns.ts";
import { userMessage } from "./conversations.ts";
import { describeOrigin, type RawRow } from "./example.ts";
import { firstByte, rowsOfLines } from "./json-rows.ts";
import { type Line, LinePlace, linesOf, readLines } from "./lines.ts";
import { readPrompt } from "./prompt-columns.ts";
import { ReadMeter } from "./read-meter.ts";
import { readRows } from "./sources.ts";
import { templateInputs } from "./template-columns.ts";
import { refuseOtherMedia } from "./unpaired.ts";

/** A prompt ready to be answered. */
export interface Prompt {
  /** File and line, to begin messages with. */
  where: string;
  /** What is asked, to show: the last message, or the plain text. */
  text: string;
  /** Tokens up to where the answer begins. */
  ids: number[];
  /** Whether the completion continues the prompt's text: plain text, or an assistant's turn that was begun. */
  isContinued: boolean;
  /** What the tokens were made of. */
  row: SourceRow;
  /** The user's turns after the first, of a row with `turns`. */
  followUps: readonly string[];
}

/** How prompts are read. */
export interface PromptFormat {
  columns?: ColumnMap;
  /** Plain text is taken verbatim even where the tokenizer has a chat template. */
  isPlain?: boolean;
  /** Read no more than so many; null: all. */
  limit?: number | null;
}

/**
 * The prompts in `path`: a column `prompt` of text or messages (an assistant's turn at its end is continued), `messages` or
 * `conversations` (an answer at their end is left out), `question`, `instruction` and the other columns that training reads
 * prompts from (docs/data.md), or `turns` as in MT-Bench's questions; with `tools` and
 * `chat_template_kwargs`. Plain text is a user's message where the tokenizer has a chat template, and is taken verbatim
 * where it has none.
 *
 * @throws {DataError} naming file and line of a row without a prompt, or with images or audio beside it
 */
export async function readPrompts(
  path: string,
  encoder: RowEncoder,
  { columns = {}, limit = null, isPlain = false }: PromptFormat = {},
): Promise<Prompt[]> {
  const isChat = encoder.hasChatTemplate && !isPlain;
  const rows: SourceRow[] = [];
  const followUps: (readonly string[])[] = [];
  for await (const row of promptRows(path)) {
    if (rows.length === limit) break;
    rows.push(promptRow(row, columns, isChat));
    followUps.push(laterTurns(row, isChat));
  }
  if (rows.length === 0) throw new DataError(`${path}: expected prompts, found no rows.`);
  const outcomes = await encoder.encode(rows);
  return outcomes.map((outcome, i): Prompt => {
    if ("error" in outcome) throw outcome.error;
    const row = at(rows, i);
    const isContinued = row.kind === "text" || (row.kind === "chat" && row.continueFinalMessage === true);
    const { promptIds: ids, notes } = outcome.row;
    for (const text of promptWarnings(notes)) warn(text);
    const later = at(followUps, i);
    return { where: row.where, text: shown(row), ids, isContinued, row, followUps: later };
  });
}

/**
 * @param most - the model's longest context
 * @throws {DataError} naming the first prompt that leaves no room for its answer
 */
export function checkPromptLengths(
  prompts: readonly Pick<Prompt, "where" | "ids">[],
  maxNewTokens: number,
  most: number,
): void {
  for (const { where, ids } of prompts) {
    if (ids.length + maxNewTokens <= most) continue;
    const room = most - ids.length;
    const answer = room > 0 ? `, and ${maxNewTokens} more are allowed to the answer` : "";
    const remedy = room > 0 ? `, or ask for answers of at most ${room}` : "";
    throw new DataError(
      `${where}: the prompt has ${ids.length} tokens${answer}; the model was made for ${most} in all. Leave the row out${remedy}.`,
    );
  }
}

/** Warns of a later turn before which the conversation has filled the model's context of `most` tokens. */
export function tellFullContext(where: string, tokens: number, most: number): void {
  warn(
    `${where}: the conversation has ${tokens} tokens before the answer, and the model was made for ${most} in all: the answer is left ` +
      "empty and counts as cut. Shorter answers to the turns before leave it room.",
  );
}

/** Columns of what a question may be about. */
const sources: ReadonlySet<string> = new Set(["context", "document", "documents"]);

/** The row's prompt, without an answer. */
function promptRow(row: RawRow, map: ColumnMap, isChat: boolean): SourceRow {
  const columns = new RowColumns(firstTurn(row), map);
  const { where } = columns;
  refuseOtherMedia(columns);
  const prompt = readPrompt(columns);
  if (prompt === null) {
    const missing = columns.missing(`"prompt", "messages", "question", "instruction" or "turns"`);
    throw new DataError(`${missing.message} Call the column of the prompts "prompt".`);
  }
  for (const column of columns.use().passedOver.filter((name) => sources.has(name.toLowerCase()))) {
    warn(
      `${row.origin.file}: a column "${column}" is not read. If the questions are about it, put it into them.`,
    );
  }
  if (prompt.kind === "text" && !isChat) return { kind: "text", where, prompt: prompt.text, completions: [] };
  const messages = prompt.kind === "chat" ? prompt.messages : [userMessage(prompt.text)];
  const common = { kind: "chat", where, completions: [], ...templateInputs(columns) } as const;
  if (messages.at(-1)?.role !== "assistant") return { ...common, prompt: messages };
  const isWhole = prompt.kind === "chat" && prompt.isConversation;
  return isWhole
    ? { ...common, prompt: messages.slice(0, -1) }
    : { ...common, prompt: messages, continueFinalMessage: true };
}

/**
 * The turns after the first of a row with `turns`.
 *
 * @throws {DataError} if they are no texts, or the model has no chat template to put a conversation in
 */
function laterTurns({ origin, value }: RawRow, isChat: boolean): string[] {
  const { prompt, turns } = value;
  if (prompt !== undefined || !Array.isArray(turns) || turns.length < 2) return [];
  const where = describeOrigin(origin);
  const wrong = turns.findIndex((turn) => typeof turn !== "string" || turn.trim() === "");
  if (wrong >= 0) {
    throw new DataError(
      `${where}: turns[${wrong}]: expected a text, got ${JSON.stringify(turns[wrong])}. Fix the row.`,
    );
  }
  if (!isChat) {
    throw new DataError(
      `${where}: ${turns.length} turns are a conversation, which needs a chat template. Give --chat-template, or rows with one prompt.`,
    );
  }
  return turns.slice(1) as string[];
}

/** Says of prompts with several turns that the first is asked alone. */
export function tellFirstTurns(path: string, prompts: readonly Prompt[]): void {
  const longer = prompts.filter(({ followUps }) => followUps.length > 0).length;
  if (longer > 0)
    warn(`${path}: ${longer} of ${prompts.length} rows have several turns; the first is asked.`);
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

/** What stands for standard input in place of a path. */
const standardInput = "-";

/**
 * The rows in `path`: a data file; a `.txt`, of which each line that is not blank is a prompt; or "-", standard input, which is
 * JSON lines where it begins with "{" and prompts line by line otherwise. Read line by line.
 *
 * @throws {ConfigError} if standard input is a terminal
 */
async function* promptRows(path: string): AsyncGenerator<RawRow> {
  if (path === standardInput) yield* inputRows();
  else if (path.endsWith(".txt")) yield* textFileRows(path);
  else yield* readRows({ path });
}

async function* textFileRows(path: string): AsyncGenerator<RawRow> {
  const meter = new ReadMeter();
  meter.expect(statsOf(path)?.size ?? 0);
  try {
    yield* textRows(readLines({ path, name: path, format: "jsonl", compression: "none", meter }), path);
  } finally {
    meter.finish();
  }
}

async function* textRows(lines: AsyncIterable<Line>, file: string): AsyncGenerator<RawRow> {
  for await (const { number, text } of lines) {
    // a carriage return alone ends a line too
    for (const prompt of text.split("\r")) {
      if (prompt.trim() !== "") yield { origin: { file, line: number }, value: { prompt } };
    }
  }
}

async function* inputRows(): AsyncGenerator<RawRow> {
  if (process.stdin.isTTY === true) {
    throw new ConfigError("--prompts -: expected prompts on standard input, which is a terminal here.");
  }
  const place = new LinePlace("stdin");
  const reader = new ByteReader(process.stdin);
  const isJson = (await firstByte(reader, place)) === "{".charCodeAt(0);
  const lines = linesOf(reader, place);
  yield* isJson ? rowsOfLines(lines, { name: "stdin", format: "jsonl" }) : textRows(lines, "stdin");
}
