/** Answers of a model to questions, read from files in the forms that are published. */
import { DataError } from "../../base/errors.ts";
import { counted } from "../../base/number-text.ts";
import { didYouMean } from "../../base/suggest.ts";
import { warn } from "../../base/warn.ts";
import { describeOrigin, type RawRow } from "../../data/example.ts";
import { readRows } from "../../data/sources.ts";
import { oneLine } from "../../terminal/text-table.ts";
import { numberOf } from "../../text/json-number.ts";
import type { ChatMessage } from "../endpoint/chat-body.ts";
import { OneAdapter } from "./generated-rows.ts";
import { idOf, type Question, questionText } from "./questions.ts";

/** A model's answers: those to each question by its id, one a turn. */
export type Answers = ReadonlyMap<string, readonly string[]>;

/** Answers as a file has them. */
export interface AnswerFile {
  /** What the file calls its model; null when it does not. */
  model: string | null;
  rows: readonly AnswerRow[];
  /** Questions by id that an endpoint refused, with {@link AnswerRow.madeWith}; some may have been answered later. */
  refused: ReadonlyMap<string, string | null>;
}

/** One row of answers. */
export interface AnswerRow {
  where: string;
  id: string | null;
  /** What was asked, where the row says so. */
  prompt: string | null;
  turns: readonly string[];
  /** Whether the turns are those of a conversation, of which the first may have been given. */
  isConversation: boolean;
  /** Whether the row holds further answers, which do not count. */
  hasOthers: boolean;
  /** How many of the turns ended at the token limit, where preftune generated the answer. */
  cut: number;
  /** Hash of the settings, where preftune generated the answer; see answer-log.ts. */
  madeWith: string | null;
}

const textColumns = ["answer", "completion", "response", "output"] as const;

/**
 * The answers in `path`. A row has
 *
 * - `choices` with `turns` (MT-Bench; also Arena-Hard's older files), of which the first choice counts;
 * - or `messages`, whose assistant's messages are the turns; content may be an object with `answer` (Arena-Hard);
 * - or `answers`, a list of texts or objects with `text`, of which the first counts (`preftune evaluate diversity --output`),
 *   and an object with `turns` has those;
 * - or `answer`, `completion`, `response` or `output`: a text;
 * - or `refused`, what an endpoint said that refused the question (answer-log.ts).
 *
 * Further choices and answers are noted, and not used. What was asked is `prompt`, or `prompt_messages` (`preftune generate`).
 *
 * @throws {DataError} naming file and line of a row without an answer, or of another adapter than the rows before it
 */
export async function readAnswerFile(path: string): Promise<AnswerFile> {
  const rows: AnswerRow[] = [];
  const refused = new Map<string, string | null>();
  const one = new OneAdapter();
  let model: string | null = null;
  for await (const row of readRows({ path })) {
    const { value } = row;
    const named = value["model_id"] ?? value["model"];
    if (typeof named === "string") model ??= oneLine(named, 60);
    const where = describeOrigin(row.origin);
    one.check(value, path, where);
    const { cut, answer_id } = value;
    const id = idOf(row);
    const madeWith = typeof answer_id === "string" ? answer_id : null;
    if (id !== null && typeof value["refused"] === "string") {
      refused.set(id, madeWith);
      continue;
    }
    rows.push({
      where,
      id,
      prompt: promptOf(value),
      ...turnsOf(row, where),
      cut: numberOf(cut) ?? 0,
      madeWith,
    });
  }
  if (rows.length === 0 && refused.size === 0)
    throw new DataError(`${path}: expected answers, found no rows.`);
  warnOfOthers(
    path,
    rows.filter(({ hasOthers }) => hasOthers).length,
    "with several answers; the first counts",
  );
  return { model, rows, refused };
}

/**
 * The answers to `questions`, found by id, or by what was asked where rows have no ids; none to those that an endpoint refused.
 *
 * @throws {DataError} when a question has no answer, fewer than its turns, or two that differ
 */
export function matchAnswers(file: AnswerFile, questions: readonly Question[], path: string): Answers {
  const index = indexOf(file, path);
  let longer = 0;
  const matched = new Map<string, readonly string[]>();
  for (const question of questions) {
    const { id, where, followUps } = question;
    const row = rowOf(question, index);
    const wanted = 1 + followUps.length;
    if (row === undefined) {
      if (file.refused.has(id)) continue;
      const hint = didYouMean(id, index.byId.keys());
      throw new DataError(`${path}: expected an answer to question ${id} of ${where}, found none.${hint}`);
    }
    if (row.turns.length < wanted) {
      throw new DataError(
        `${row.where}: expected answers to ${wanted} turns of question ${id}, found ${row.turns.length}.`,
      );
    }
    if (row.turns.length > wanted && !row.isConversation) longer++;
    // In a conversation whose earlier answers were given, the last ones are the model's own.
    matched.set(id, row.isConversation ? row.turns.slice(-wanted) : row.turns.slice(0, wanted));
  }
  warnOfOthers(path, longer, "with more turns than the question has; the first ones count");
  return matched;
}

/** Rows by what names them. */
interface RowIndex {
  byId: ReadonlyMap<string, AnswerRow>;
  byPrompt: ReadonlyMap<string, AnswerRow>;
}

function indexOf({ rows }: AnswerFile, path: string): RowIndex {
  const byId = new Map<string, AnswerRow>();
  const byPrompt = new Map<string, AnswerRow>();
  let samples = 0;
  for (const row of rows) {
    const earlier = row.id === null ? undefined : byId.get(row.id);
    if (earlier !== undefined && JSON.stringify(earlier.turns) !== JSON.stringify(row.turns)) {
      throw new DataError(
        `${row.where}: expected one answer to question ${row.id}, found another than that of ${earlier.where}. Take one out.`,
      );
    }
    if (row.id !== null) byId.set(row.id, row);
    // Several answers to a prompt are samples, of which the first counts.
    if (row.prompt !== null && !byPrompt.has(row.prompt)) byPrompt.set(row.prompt, row);
    else if (row.prompt !== null && row.id === null) samples++;
  }
  warnOfOthers(path, samples, "with a prompt that has an answer already; the first counts");
  return { byId, byPrompt };
}

function rowOf(question: Question, { byId, byPrompt }: RowIndex): AnswerRow | undefined {
  const [named, asked] = [byId.get(question.id), byPrompt.get(questionText(question))];
  if (question.isNamed) return named ?? asked;
  // A row of the same number that says that it answers something else is another's.
  return asked ?? (named?.prompt === null ? named : undefined);
}

function warnOfOthers(path: string, count: number, what: string): void {
  if (count > 0) warn(`${path}: ${counted(count, "row")} ${what}.`);
}

type RowTurns = Pick<AnswerRow, "turns" | "isConversation" | "hasOthers">;

function turnsOf({ value }: RawRow, where: string): RowTurns {
  const { choices, messages, answers } = value;
  const column = textColumns.find((name) => typeof value[name] === "string");
  if (Array.isArray(choices)) {
    const turns = (choices[0] as { turns?: unknown } | undefined)?.turns;
    if (Array.isArray(turns) && turns.length > 0) {
      const texts = turns.map((turn) => textOf(turn, where));
      return { turns: texts, isConversation: false, hasOthers: choices.length > 1 };
    }
  } else if (Array.isArray(answers) && answers.length > 0) {
    const { turns: several } = (answers[0] ?? {}) as { turns?: unknown };
    const turns = Array.isArray(several)
      ? several.map((turn) => textOf(turn, where))
      : [textOf(answers[0], where)];
    return { turns, isConversation: false, hasOthers: answers.length > 1 };
  } else if (column !== undefined) {
    return { turns: [String(value[column])], isConversation: false, hasOthers: false };
  } else if (Array.isArray(messages)) {
    const own = messages.filter((message) => (message as { role?: unknown } | null)?.role === "assistant");
    const turns = own.map((message) => textOf(message, where));
    if (turns.length > 0) return { turns, isConversation: true, hasOthers: false };
  }
  throw new DataError(
    `${where}: expected an answer in "choices" with "turns", "answers", ${textColumns.map((name) => `"${name}"`).join(", ")}, ` +
      `or "messages" with an assistant's; found the columns ${Object.keys(value).join(", ")}.`,
  );
}

/** The text of an answer: a string, or an object with `content`, `text` or `answer`, one in the other if need be. */
function textOf(given: unknown, where: string): string {
  if (typeof given === "string") return given;
  const { content, text, answer } = (given ?? {}) as Record<string, unknown>;
  const inner = content ?? text ?? answer;
  if (inner !== undefined && inner !== null && !Array.isArray(inner)) return textOf(inner, where);
  throw new DataError(
    `${where}: expected the text of an answer, got ${JSON.stringify(given)?.slice(0, 60)}. Fix the row.`,
  );
}

/** What was asked, as `questionText` writes it. */
function promptOf({ prompt, prompt_messages, messages }: RawRow["value"]): string | null {
  // beside them `prompt` is the last message alone, which other conversations may end in too
  if (Array.isArray(prompt_messages)) return conversationIn(prompt_messages);
  return typeof prompt === "string" ? prompt : askedIn(messages);
}

/** The text of a conversation; null where no question can have it. */
function conversationIn(given: readonly unknown[]): string | null {
  const messages = given.filter(isChatMessage);
  return messages.length === given.length ? questionText({ messages }) : null;
}

function isChatMessage(given: unknown): given is ChatMessage {
  const { role, content } = (given ?? {}) as Record<string, unknown>;
  return (role === "system" || role === "user" || role === "assistant") && typeof content === "string";
}

/** The user's message of a dialogue with one. */
function askedIn(messages: unknown): string | null {
  if (!Array.isArray(messages)) return null;
  const users = messages.filter((message) => (message as { role?: unknown } | null)?.role === "user");
  const content: unknown = (users[0] as { content?: unknown } | undefined)?.content;
  return users.length === 1 && typeof content === "string" ? content : null;
}
