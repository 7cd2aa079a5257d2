/** Verdicts as data sets write them: a word in one column, or 1 in one of three columns. */
import { DataError } from "../../base/errors.ts";
import { describeOrigin, type RawRow } from "../../data/example.ts";
import { nameOf, numberInText } from "../../text/json-number.ts";
import type { Choice } from "../comparison.ts";
import { choiceIn, placeOf } from "./form.ts";

const wordsOf: Readonly<Record<Choice, readonly string[]>> = {
  a: ["a", "left", "1", "model_a", "answer_a", "response_a"],
  b: ["b", "right", "2", "model_b", "answer_b", "response_b"],
  tie: ["tie", "both", "same"],
  bad: ["bad", "both bad", "neither", "none", "tie (bothbad)", "both_bad"],
};

const choices = Object.fromEntries(
  Object.entries(wordsOf).flatMap(([choice, words]) => words.map((word) => [word, choice as Choice])),
);

/** What the word in a column says; null: nothing. @throws {DataError} for a word that nobody knows */
export function verdictIn(row: RawRow, column: string): Choice | null {
  const given = row.value[column];
  if (given === null || given === undefined || given === "") return null;
  const choice = choiceIn(choices, nameOf(given)?.trim().toLowerCase());
  if (choice !== null) return choice;
  throw new DataError(
    `${placeOf(row, column)}: expected a, b, tie or both bad (or left, right, model_a, model_b, tie (bothbad)), got ${JSON.stringify(given)}.`,
  );
}

/** Chatbot Arena's columns of which one has a 1. It counts ties of two bad answers among the ties. */
const columnOf = { a: "winner_model_a", b: "winner_model_b", tie: "winner_tie" } as const;

/** Their names. */
export const winnerColumns: readonly string[] = Object.values(columnOf);

/** Whether a row has such a verdict, be it empty. */
export function hasWinnerColumns(columns: Readonly<Record<string, unknown>>): boolean {
  return columnOf.a in columns && columnOf.b in columns;
}

/**
 * What the columns say; null: nothing, they are empty.
 *
 * @throws {DataError} for other values than 0 and 1, such as predicted probabilities, and unless there is one 1
 */
export function winnerIn(row: RawRow): Choice | null {
  const given = Object.entries(columnOf).map(([choice, column]) => ({
    choice: choice as keyof typeof columnOf,
    isSet: flagIn(row, column),
  }));
  if (given.every(({ isSet }) => isSet === null)) return null;
  const [winner, ...more] = given.filter(({ isSet }) => isSet === true);
  if (winner !== undefined && more.length === 0) return winner.choice;
  throw new DataError(
    `${describeOrigin(row.origin)}: expected 1 in one of ${winnerColumns.join(", ")}, got it in ${more.length === 0 ? "none" : "several"}. Fix the row.`,
  );
}

function flagIn(row: RawRow, column: string): boolean | null {
  const given = row.value[column];
  if (given === null || given === undefined || given === "") return null;
  if (typeof given === "boolean") return given;
  const word = nameOf(given)?.trim().toLowerCase() ?? "";
  const number = numberInText(word);
  if (number === 1 || word === "true") return true;
  if (number === 0 || word === "false") return false;
  throw new DataError(`${placeOf(row, column)}: expected 0 or 1, got ${JSON.stringify(given)}. Fix the row.`);
}
