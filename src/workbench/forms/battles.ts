/** Battles of Chatbot Arena: two conversations and a winner, or a prompt with two responses and the winner in three columns. */
import { isDeepStrictEqual } from "node:util";
import { DataError } from "../../base/errors.ts";
import { readConversation } from "../../data/conversations.ts";
import type { RawRow } from "../../data/example.ts";
import { describeOrigin } from "../../data/example.ts";
import { splitConversations } from "../../data/prompts.ts";
import { messagesInText, storedValue } from "../../data/stored-text.ts";
import type { Message } from "../../text/messages.ts";
import type { Choice, Comparison } from "../comparison.ts";
import { type Form, NoComparison, nameIn, onlyVote, placeOf, without } from "./form.ts";
import { hasWinnerColumns, verdictIn, winnerColumns, winnerIn } from "./verdicts.ts";

/** How a winner is written. */
const winners: Readonly<Record<Choice, string>> = {
  ...{ a: "model_a", b: "model_b", tie: "tie", bad: "tie (bothbad)" },
};

const conversationColumns = ["conversation_a", "conversation_b"] as const;
const turnColumns = ["prompt", "response_a", "response_b"] as const;
const otherColumns = ["model_a", "model_b", "winner", ...winnerColumns, "judge"];

export const battles: Form = {
  name: "battles",
  words:
    "battles of Chatbot Arena: conversation_a, conversation_b, model_a, model_b, winner, judge; or prompt, response_a, response_b, " +
    winnerColumns.join(", "),
  fits: (columns) => hasConversations(columns) || hasTurns(columns),
  read(row): Comparison {
    const { value } = row;
    const isOfTurns = !hasConversations(value);
    const [a, b] = isOfTurns ? conversationsOfTurns(row) : conversationsIn(row);
    if (!haveOneQuestion(a, b))
      throw new NoComparison("a battle of several turns, whose answers differ before the last question");
    const { prompt, completions } = splitConversations([a, b], describeOrigin(row.origin));
    const [first = [], second = []] = completions;
    const choice = verdictIn(row, "winner") ?? winnerIn(row);
    return {
      prompt,
      answers: [first, second],
      models: [nameIn(value["model_a"]), nameIn(value["model_b"])],
      votes: choice === null ? [] : [{ person: nameIn(value["judge"]), choice }],
      extra: without(value, [...(isOfTurns ? turnColumns : conversationColumns), ...otherColumns]),
    };
  },
  write(comparison): Record<string, unknown> {
    const vote = onlyVote(comparison, "battles");
    const [a, b] = comparison.answers;
    const of = (answer: typeof a) => [
      ...asMessages(comparison.prompt, "user"),
      ...asMessages(answer, "assistant"),
    ];
    return {
      ...comparison.extra,
      model_a: comparison.models[0],
      model_b: comparison.models[1],
      ...(vote === null ? {} : { winner: winners[vote.choice] }),
      ...(vote?.person == null ? {} : { judge: vote.person }),
      conversation_a: of(a),
      conversation_b: of(b),
    };
  },
};

type Columns = Readonly<Record<string, unknown>>;

function hasConversations(columns: Columns): boolean {
  return conversationColumns.every((name) => name in columns);
}

/** Whether there are a prompt and two responses with their winner in three columns, or all three are lists of turns. */
function hasTurns(columns: Columns): boolean {
  if (!turnColumns.every((name) => name in columns)) return false;
  return hasWinnerColumns(columns) || turnColumns.every((name) => turnsIn(columns[name]) !== null);
}

function conversationsIn(row: RawRow): [Message[], Message[]] {
  const [a, b] = conversationColumns;
  return [messagesIn(row, a), messagesIn(row, b)];
}

function messagesIn(row: RawRow, column: string): Message[] {
  const [value, place] = [row.value[column], placeOf(row, column)];
  const stored = typeof value === "string" ? messagesInText(value, place) : null;
  return readConversation(stored ?? value, place);
}

/** The conversations of a prompt and two responses, each a text, or a list with a text for each turn. */
function conversationsOfTurns(row: RawRow): [Message[], Message[]] {
  const isText = turnColumns.some((name) => {
    const value = row.value[name];
    return typeof value === "string" && !beginsAsList(value);
  });
  const [asked, a, b] = turnColumns.map((name) => {
    const value = row.value[name];
    const turns = isText && typeof value === "string" ? [value] : turnsIn(value);
    if (turns !== null) return turns;
    throw new DataError(
      `${placeOf(row, name)}: expected a text, or a list with a text for each turn as the other columns begin, got ${value === undefined ? "nothing" : JSON.stringify(value).slice(0, 40)}. ` +
        "Fix the row, or read these columns as texts, as they are: preftune labels import --form table.",
    );
  });
  const conversation = (answers: readonly (string | null)[] = []): Message[] =>
    (asked ?? []).flatMap((question, i) => [
      { role: "user", content: textOf(question) },
      { role: "assistant", content: textOf(answers[i] ?? null) },
    ]);
  const counts = [asked, a, b].map((turns) => turns?.length);
  if (new Set(counts).size > 1) {
    throw new DataError(
      `${describeOrigin(row.origin)}: expected as many turns in ${turnColumns.join(", ")}, got ${counts.join(", ")}. Fix the row.`,
    );
  }
  return [conversation(a), conversation(b)];
}

function textOf(turn: string | null): string {
  if (turn !== null) return turn;
  throw new NoComparison("a battle with a turn without a text");
}

function beginsAsList(text: string): boolean {
  return text.trimStart().startsWith("[");
}

/** A list of texts, in which null stands for none, also where it is text; null for all else. */
function turnsIn(value: unknown): (string | null)[] | null {
  const list = typeof value === "string" && beginsAsList(value) ? storedValue(value) : value;
  const isTurn = (turn: unknown): turn is string | null => turn === null || typeof turn === "string";
  return Array.isArray(list) && list.length > 0 && list.every(isTurn) ? list : null;
}

/** Whether what was said up to the last question is the same; of conversations that begin otherwise nobody knows a prompt. */
function haveOneQuestion(a: readonly Message[], b: readonly Message[]): boolean {
  if (!isDeepStrictEqual(a[0], b[0])) return true;
  const asked = (messages: readonly Message[]) =>
    messages.slice(0, messages.findLastIndex(({ role }) => role === "user") + 1);
  return isDeepStrictEqual(asked(a), asked(b));
}

function asMessages(part: Comparison["prompt"], role: "user" | "assistant"): Message[] {
  return typeof part === "string" ? [{ role, content: part }] : part;
}
