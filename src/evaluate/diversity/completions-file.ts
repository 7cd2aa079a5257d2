/** Completions from a file of any source, in the usual forms: a row per completion, per prompt or per dialogue. */
import { DataError } from "../../base/errors.ts";
import { describeOrigin, type RawRow } from "../../data/example.ts";
import { readRows } from "../../data/sources.ts";
import { numberOf } from "../../text/json-number.ts";
import { contentText } from "../../text/message-text.ts";
import { parseMessages } from "../../text/messages.ts";
import { generatedIndex, OneAdapter } from "../answers/generated-rows.ts";
import type { AnsweredPrompt, SampledText } from "./diversity.ts";

/** Columns with one answer; the first that a row has counts. */
const answerColumns = ["answer", "completion", "response", "output"] as const;
/** Columns that say what was asked; rows with the same value answer the same prompt. */
const promptColumns = ["prompt", "question", "instruction", "question_id", "uid"] as const;

const forms =
  `"answers" (a list), one of ${answerColumns.map((name) => `"${name}"`).join(", ")}, "messages" that end with an assistant's, ` +
  `or "choices" with "turns" as FastChat writes them`;

/** A completion with its prompt; those of the same key are of the same prompt. */
interface KeyedCompletion {
  key: string;
  prompt: string;
  answer: SampledText;
}

/**
 * The answers in `path` (JSONL, JSON, CSV or Parquet), gathered by prompt in order of their first row. A row has
 *
 * - `answers`: a list of texts, or of objects with `text` and perhaps `ended`, or with `turns` (`preftune generate`);
 * - or `answer`, `completion`, `response` or `output`: a text, or a list of messages;
 * - or `messages`, the last one an assistant's;
 * - or `choices` with `turns` (FastChat's MT-Bench files).
 *
 * Each turn counts as a separate prompt. The prompt is `prompt`, `question`, `instruction`, `question_id` or `uid`; rows without any
 * have a prompt each, and rows that differ in `prompt_number`, which `preftune evaluate diversity --output` writes, or in the `index`
 * of `preftune generate`, have different ones. `ended` (true or false) or
 * `finish_reason` ("stop", "length") says whether an answer ended by itself; without them that is not known.
 *
 * @throws {DataError} naming file and line of a row that has no answer, or one of another adapter than the rows before it
 */
export async function readCompletions(path: string): Promise<AnsweredPrompt[]> {
  const prompts = new Map<string, { prompt: string; answers: SampledText[] }>();
  const one = new OneAdapter();
  for await (const row of readRows({ path })) {
    one.check(row.value, path, describeOrigin(row.origin));
    for (const { key, prompt, answer } of answersOf(row)) {
      const known = prompts.get(key);
      if (known === undefined) prompts.set(key, { prompt, answers: [answer] });
      else known.answers.push(answer);
    }
  }
  if (prompts.size === 0) throw new DataError(`${path}: expected answers, found no rows.`);
  return [...prompts.values()];
}

function answersOf({ origin, value }: RawRow): KeyedCompletion[] {
  const where = describeOrigin(origin);
  const present = (name: string): boolean => value[name] !== undefined && value[name] !== null;
  const asked = promptOf(value, where);
  if (present("answers")) {
    const place = `${where}, column "answers"`;
    return listOf(value["answers"], place).flatMap((item) => {
      const { turns } = (item ?? {}) as { turns?: unknown };
      const texts = Array.isArray(turns) ? turns : [item];
      return texts.map((text, i) => ({
        ...turnOf(asked, i, texts.length),
        answer: answerOf(text, endOf(value), place),
      }));
    });
  }
  const column = answerColumns.find(present);
  if (column !== undefined) {
    return [{ ...asked, answer: answerOf(value[column], endOf(value), `${where}, column "${column}"`) }];
  }
  if (present("choices")) return turnsOf(value["choices"], asked, where);
  if (present("messages")) return [dialogueOf(value, where)];
  const found = Object.keys(value).join(", ");
  throw new DataError(`${where}: expected an answer: ${forms}; found the columns ${found}.`);
}

function promptOf(value: Record<string, unknown>, where: string): Omit<KeyedCompletion, "answer"> {
  const column = promptColumns.find((name) => value[name] !== undefined && value[name] !== null);
  if (column === undefined) return { key: where, prompt: "" };
  const given = value[column];
  const key = JSON.stringify([column, given, value["prompt_number"], generatedIndex(value)]);
  if (typeof given === "string") return { key, prompt: given };
  if (numberOf(given) !== null) return { key, prompt: `${column} ${given}` };
  const last = parseMessages(given, `${where}, column "${column}"`).at(-1);
  return { key, prompt: last === undefined ? "" : contentText(last) };
}

/** One answer; `ended` is what its row says, where it does not say so itself. */
function answerOf(given: unknown, ended: boolean | null, where: string): SampledText {
  if (typeof given === "string") return { text: given, ended };
  if (Array.isArray(given)) return { text: assistantText(given, where), ended };
  const { text } = (given ?? {}) as { text?: unknown };
  if (typeof text !== "string") {
    throw new DataError(
      `${where}: expected a text, a list of messages, or an object with "text". Fix the row.`,
    );
  }
  return { text, ended: endOf(given as Record<string, unknown>) ?? ended };
}

/** Whether it ended by itself; null when nothing says so. */
function endOf({ ended, finish_reason: reason }: Record<string, unknown>): boolean | null {
  if (typeof ended === "boolean") return ended;
  if (reason === "stop") return true;
  return reason === "length" ? false : null;
}

/** FastChat: each choice is a dialogue, of which the answers are given. Arena-Hard's have objects with `content`. */
function turnsOf(choices: unknown, asked: Omit<KeyedCompletion, "answer">, where: string): KeyedCompletion[] {
  const place = `${where}, column "choices"`;
  return listOf(choices, place).flatMap((choice) => {
    const turns = listOf((choice as { turns?: unknown } | null)?.turns, `${place}, "turns"`);
    return turns.map((turn, i): KeyedCompletion => {
      const text = typeof turn === "string" ? turn : (turn as { content?: unknown } | null)?.content;
      if (typeof text !== "string") throw new DataError(`${place}, "turns": expected texts. Fix the row.`);
      return { ...turnOf(asked, i, turns.length), answer: { text, ended: null } };
    });
  });
}

/** The prompt of a turn of a dialogue, which is another one than those of its other turns. */
function turnOf(
  { key, prompt }: Omit<KeyedCompletion, "answer">,
  turn: number,
  turns: number,
): Omit<KeyedCompletion, "answer"> {
  return {
    key: turn === 0 ? key : `${key} ${turn}`,
    prompt: turns > 1 ? `${prompt}, turn ${turn + 1}` : prompt,
  };
}

function dialogueOf(value: Record<string, unknown>, where: string): KeyedCompletion {
  const place = `${where}, column "messages"`;
  const given = listOf(value["messages"], place).map(plainMessage);
  const text = assistantText(given, place);
  const before = parseMessages(given, place).slice(0, -1);
  const last = before.at(-1);
  const answer = { text, ended: endOf(value) };
  return { key: JSON.stringify(before), prompt: last === undefined ? "" : contentText(last), answer };
}

/** Arena-Hard writes an assistant's content as an object with `answer`. */
function plainMessage(message: unknown): unknown {
  const content = (message as { content?: { answer?: unknown } | null } | null)?.content;
  return typeof content?.answer === "string" ? { ...(message as object), content: content.answer } : message;
}

function assistantText(given: readonly unknown[], where: string): string {
  const last = parseMessages(given, where).at(-1);
  if (last?.role === "assistant") return contentText(last);
  throw new DataError(`${where}: expected the last message to be an assistant's. Fix the row.`);
}

function listOf(given: unknown, where: string): readonly unknown[] {
  if (Array.isArray(given)) return given;
  throw new DataError(`${where}: expected a list. Fix the row.`);
}
