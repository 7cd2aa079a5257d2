/** Questions of benchmarks and custom prompts, in the published formats. */
import { DataError } from "../../base/errors.ts";
import { isRecord } from "../../base/is-record.ts";
import { didYouMean } from "../../base/suggest.ts";
import { describeOrigin, type RawRow } from "../../data/example.ts";
import { readRows } from "../../data/sources.ts";
import { oneLine } from "../../terminal/text-table.ts";
import { nameOf, numberOf } from "../../text/json-number.ts";
import { contentText } from "../../text/message-text.ts";
import { parseMessages } from "../../text/messages.ts";
import type { ChatMessage } from "../endpoint/chat-body.ts";

/** What is asked, in one or more turns. */
export interface Question {
  /** Its own, or the number of its line. */
  id: string;
  /** Whether the id is the question's own; line numbers tell little about what a file of answers holds. */
  isNamed: boolean;
  /** File and line, to begin messages with. */
  where: string;
  category: string | null;
  /** Up to where the first answer begins. */
  messages: readonly ChatMessage[];
  /** What the user says after each answer but the last. */
  followUps: readonly string[];
  /** Temperature that the question asks for. */
  temperature: number | null;
}

/** A question with the answers to its turns so far, up to where the next begins. */
export function conversation({ messages, followUps }: Question, answers: readonly string[]): ChatMessage[] {
  const later = answers.flatMap((answer, i): ChatMessage[] => [
    { role: "assistant", content: answer },
    { role: "user", content: followUps[i] ?? "" },
  ]);
  return [...messages, ...later];
}

/** Which questions are taken. */
export interface QuestionChoice {
  /** No more than so many, the first ones. */
  limit?: number | null;
  /** Only these categories. */
  categories?: readonly string[] | null;
}

/** Columns that name a row, as MT-Bench, Arena-Hard and the hub's copies call them. */
const idColumns = ["question_id", "uid", "id", "prompt_id"] as const;

/**
 * The questions in `path`: a file, or a data set of the hub. A row has `turns` (MT-Bench; in Arena-Hard's first files objects with
 * `content`), or `prompt`: a text (Arena-Hard), a list of texts, one a turn, or a list of messages; or `messages`, of which an answer at the end is left out.
 *
 * @throws {DataError} naming file and line of a row without a question, or with another's id
 */
export async function readQuestions(path: string, choice: QuestionChoice = {}): Promise<Question[]> {
  const { limit = null, categories = null } = choice;
  const questions = new Map<string, Question>();
  const seen = new Set<string>();
  for await (const row of readRows({ path })) {
    const question = questionOf(row);
    if (question.category !== null) seen.add(question.category);
    if (categories !== null && !categories.includes(question.category ?? "")) continue;
    refuseSecond(question, questions.get(question.id));
    questions.set(question.id, question);
    if (limit !== null && questions.size >= limit) break;
  }
  const all = [...questions.values()];
  if (all.length === 0 && categories === null)
    throw new DataError(`${path}: expected questions, found none.`);
  if (categories !== null && all.length !== limit) requireCategories(path, categories, all, seen);
  return all;
}

function refuseSecond({ where, id }: Question, first: Question | undefined): void {
  if (first === undefined) return;
  throw new DataError(`${where}: expected another id than ${id}, which ${first.where} has. Fix the row.`);
}

/** Refuses a category of which there is no question: it may be misspelt. */
function requireCategories(
  path: string,
  wanted: readonly string[],
  questions: readonly Question[],
  known: ReadonlySet<string>,
): void {
  const lacking = wanted.find((name) => questions.every(({ category }) => category !== name));
  if (lacking === undefined) return;
  throw new DataError(
    `${path}: expected questions of the category "${lacking}", found none; its categories are ` +
      `${[...known].join(", ") || "none"}.${didYouMean(lacking, known)}`,
  );
}

/** The row's id, in one line without anything that could steer a terminal; null when it has none. */
export function idOf({ value }: RawRow): string | null {
  const id = idColumns.map((name) => nameOf(value[name])).find((name) => name !== null);
  return id === undefined ? null : oneLine(id, 200);
}

function questionOf(row: RawRow): Question {
  const { value } = row;
  const where = describeOrigin(row.origin);
  const { category, required_temperature: temperature } = value;
  const own = idOf(row);
  return {
    id: own ?? String(row.origin.line),
    isNamed: own !== null,
    where,
    category: typeof category === "string" ? oneLine(category, 60) : null,
    ...turnsOf(value, where),
    temperature: temperatureOf(temperature, where),
  };
}

function temperatureOf(given: unknown, where: string): number | null {
  if (given === undefined || given === null) return null;
  const temperature = numberOf(given);
  if (temperature !== null && temperature >= 0) return temperature;
  throw new DataError(
    `${where}: expected "required_temperature" to be a number of at least 0, got ${JSON.stringify(given)}. Fix the row.`,
  );
}

function turnsOf(
  value: Readonly<Record<string, unknown>>,
  where: string,
): Pick<Question, "messages" | "followUps"> {
  const { turns, prompt, messages } = value;
  const column = turns !== undefined ? "turns" : prompt !== undefined ? "prompt" : "messages";
  const given = (Array.isArray(turns) ? turns.map(turnText) : turns) ?? prompt ?? messages;
  const texts = typeof given === "string" ? [given] : given;
  if (Array.isArray(texts) && texts.every((text) => typeof text === "string")) {
    const [first, ...followUps] = texts;
    if (first !== undefined && texts.every((text) => text.trim() !== "")) {
      return { messages: [{ role: "user", content: first }], followUps };
    }
  }
  if (given === undefined) {
    const found = Object.keys(value).join(", ");
    throw new DataError(
      `${where}: expected a question in "turns", "prompt" or "messages", found the columns ${found}.`,
    );
  }
  return { messages: chatMessages(given, `${where}, column "${column}"`), followUps: [] };
}

/** The text of a turn that is an object without a role, as in Arena-Hard's first files; what else a turn is stays as it is. */
function turnText(turn: unknown): unknown {
  if (!isRecord(turn) || turn["role"] !== undefined) return turn;
  return typeof turn["content"] === "string" ? turn["content"] : turn;
}

/** Messages of users, assistants and systems up to the last one that is not an assistant's. */
function chatMessages(given: unknown, where: string): ChatMessage[] {
  const parsed = parseMessages(given, where);
  const asked = parsed.at(-1)?.role === "assistant" ? parsed.slice(0, -1) : parsed;
  if (asked.length === 0) throw new DataError(`${where}: expected a question, found only an answer.`);
  return asked.map((message) => {
    const { role } = message;
    if (role !== "system" && role !== "user" && role !== "assistant") {
      throw new DataError(`${where}: expected messages of system, user and assistant, got one of ${role}.`);
    }
    return { role, content: contentText(message) };
  });
}

/** What a question asks, for prompts of judges: its one message, or the conversation with its speakers named. */
export function questionText({ messages }: Pick<Question, "messages">): string {
  const [only] = messages;
  if (messages.length === 1 && only?.role === "user") return only.content;
  const names = { system: "System", user: "User", assistant: "Assistant" } as const;
  return messages.map(({ role, content }) => `${names[role]}: ${content}`).join("\n\n");
}
