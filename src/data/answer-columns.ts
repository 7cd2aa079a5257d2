/** The answers of a row, from whichever columns hold them. */
import { DataError } from "../base/errors.ts";
import type { Message } from "../text/messages.ts";
import type { RowColumns } from "./columns.ts";
import { listIn, readAnswer } from "./prompt-columns.ts";

/** An answer: plain text, or messages. */
export type Answer = string | Message[];

/**
 * The chosen and the rejected answer: `chosen` and `rejected`, or the two of Alpaca's `output`, the better one first.
 *
 * @throws DataError when the row has no two answers
 */
export function pairAnswers(columns: RowColumns): [Answer, Answer] {
  if (columns.has("chosen") && columns.has("rejected")) {
    return [readAnswer(columns, "chosen"), readAnswer(columns, "rejected")];
  }
  const hasNone = !columns.has("chosen") && !columns.has("rejected");
  const outputs =
    hasNone && columns.has("instruction") && columns.has("output") ? listIn(columns, "output") : null;
  if (!Array.isArray(outputs)) {
    throw columns.missing(
      `"chosen" and "rejected" (with or without "prompt"), or "prompt_ids", "chosen_ids" and "rejected_ids"`,
    );
  }
  const [chosen, rejected] = outputs;
  if (outputs.length === 2 && typeof chosen === "string" && typeof rejected === "string")
    return [chosen, rejected];
  throw new DataError(
    `${columns.place("output")}: expected two texts, the better one first, got ${outputs.length} values. ` +
      `Write a row for each pair.`,
  );
}

/** Columns of the answer to an instruction or a question. */
const replyColumns = ["output", "response", "answer"] as const;

/**
 * The answer to train on by itself: `completion`, or an instruction's `output`, `response` or `answer`. Null when the
 * row has none of these.
 *
 * @throws DataError when it is neither text nor messages
 */
export function supervisedAnswer(columns: RowColumns): Answer | null {
  if (columns.has("completion")) return readAnswer(columns, "completion");
  const isAsked = (["instruction", "question", "query", "input"] as const).some((name) => columns.has(name));
  const name = replyColumns.find((column) => columns.has(column));
  if (!isAsked || name === undefined || columns.has("prompt") || columns.has("chosen")) return null;
  return readAnswer(columns, name);
}
