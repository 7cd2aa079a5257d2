/** Battles of Chatbot Arena: two conversations and a winner, or a prompt with two responses and the winner in three columns. */
import { DataError } from "../../base/errors.ts";
import { readConversation } from "../../data/conversations.ts";
import type { RawRow } from "../../data/example.ts";
import { describeOrigin } from "../../data/example.ts";
import { splitConversations } from "../../data/prompts.ts";
import type { Message } from "../../text/messages.ts";
import type { Choice, Comparison } from "../comparison.ts";
import { choiceIn, type Form, nameIn, onlyVote, placeOf, without } from "./form.ts";

const winners: Readonly<Record<string, Choice>> = {
  model_a: "a",
  model_b: "b",
  tie: "tie",
  "tie (bothbad)": "bad",
  both_bad: "bad",
};

const columnsOfBattle = ["conversation_a", "conversation_b", "model_a", "model_b", "winner", "judge"];

export const battles: Form = {
  name: "battles",
  words: "battles of Chatbot Arena: conversation_a, conversation_b, model_a, model_b, winner, judge",
  fits: (columns) => "conversation_a" in columns && "conversation_b" in columns,
  read(row): Comparison {
    const { value } = row;
    const [a, b] = [messagesIn(row, "conversation_a"), messagesIn(row, "conversation_b")];
    const { prompt, completions } = splitConversations([a, b], describeOrigin(row.origin));
    const [first = [], second = []] = completions;
    return {
      prompt,
      answers: [first, second],
      models: [nameIn(value["model_a"]), nameIn(value["model_b"])],
      votes: votesIn(row),
      extra: without(value, columnsOfBattle),
    };
  },
  write(comparison): Record<string, unknown> {
    const vote = onlyVote(comparison, "battles");
    const [a, b] = comparison.answers;
    const of = (answer: typeof a) => [
      ...asMessages(comparison.prompt, "user"),
      ...asMessages(answer, "assistant"),
    ];
    const winner = Object.entries(winners).find(([, choice]) => choice === vote?.choice)?.[0];
    return {
      ...comparison.extra,
      model_a: comparison.models[0],
      model_b: comparison.models[1],
      ...(winner === undefined ? {} : { winner }),
      ...(vote?.person == null ? {} : { judge: vote.person }),
      conversation_a: of(a),
      conversation_b: of(b),
    };
  },
};

function messagesIn(row: RawRow, column: string): Message[] {
  return readConversation(row.value[column], placeOf(row, column));
}

function votesIn(row: RawRow): Comparison["votes"] {
  const { winner, judge } = row.value;
  if (winner === undefined || winner === null) return [];
  const choice = choiceIn(winners, winner);
  if (choice === null) {
    throw new DataError(
      `${placeOf(row, "winner")}: expected one of ${Object.keys(winners).join(", ")}, got ${JSON.stringify(winner)}.`,
    );
  }
  return [{ person: nameIn(judge), choice }];
}

function asMessages(part: Comparison["prompt"], role: "user" | "assistant"): Message[] {
  return typeof part === "string" ? [{ role, content: part }] : part;
}
