/** A table with a prompt, two answers and a verdict: a CSV file, or what was copied from a spreadsheet or a page. */
import { DataError } from "../../base/errors.ts";
import type { RawRow } from "../../data/example.ts";
import { nameOf } from "../../text/json-number.ts";
import type { Choice, Comparison } from "../comparison.ts";
import { answerIn, choiceIn, type Form, nameIn, onlyVote, placeOf, without } from "./form.ts";

const names = {
  prompt: ["prompt", "question", "instruction", "input"],
  a: ["answer_a", "answer a", "response_a", "response a", "a", "left", "answer1", "answer_1", "response_1"],
  b: ["answer_b", "answer b", "response_b", "response b", "b", "right", "answer2", "answer_2", "response_2"],
  verdict: ["better", "winner", "preference", "preferred", "verdict", "label"],
  person: ["person", "annotator", "labeller", "judge"],
  modelA: ["model_a"],
  modelB: ["model_b"],
} as const;

const verdicts: Readonly<Record<string, Choice>> = {
  ...Object.fromEntries(
    ["a", "left", "1", "model_a", "answer_a", "response_a"].map((word) => [word, "a" as const]),
  ),
  ...Object.fromEntries(
    ["b", "right", "2", "model_b", "answer_b", "response_b"].map((word) => [word, "b" as const]),
  ),
  tie: "tie",
  both: "tie",
  same: "tie",
  bad: "bad",
  "both bad": "bad",
  neither: "bad",
  none: "bad",
};

export const table: Form = {
  name: "table",
  words:
    "a table with the columns prompt, answer_a, answer_b and, where they are judged, better (a, b, tie, both bad)",
  fits: (columns) => (["prompt", "a", "b"] as const).every((part) => columnOf(columns, part) !== null),
  read(row): Comparison {
    const { value } = row;
    const used = Object.fromEntries(
      Object.keys(names).map((part) => [part, columnOf(value, part as keyof typeof names)]),
    ) as Record<keyof typeof names, string | null>;
    const part = (name: "prompt" | "a" | "b") =>
      answerIn(value[used[name] ?? ""], placeOf(row, used[name] ?? name));
    const given = (name: keyof typeof names) => (used[name] === null ? null : nameIn(value[used[name]]));
    const choice = verdictIn(row, used.verdict);
    return {
      prompt: part("prompt"),
      answers: [part("a"), part("b")],
      models: [given("modelA"), given("modelB")],
      votes: choice === null ? [] : [{ person: given("person"), choice }],
      extra: without(
        value,
        Object.values(used).filter((name) => name !== null),
      ),
    };
  },
  write(comparison): Record<string, unknown> {
    const vote = onlyVote(comparison, "a table");
    const { prompt, answers, models, extra } = comparison;
    return {
      ...extra,
      prompt,
      answer_a: answers[0],
      answer_b: answers[1],
      ...(vote === null ? {} : { better: vote.choice === "bad" ? "both bad" : vote.choice }),
      ...(vote?.person == null ? {} : { person: vote.person }),
      ...(models[0] === null ? {} : { model_a: models[0] }),
      ...(models[1] === null ? {} : { model_b: models[1] }),
    };
  },
};

function columnOf(columns: Readonly<Record<string, unknown>>, part: keyof typeof names): string | null {
  const found = Object.keys(columns).find((name) =>
    names[part].some((known) => known === name.trim().toLowerCase()),
  );
  return found ?? null;
}

function verdictIn(row: RawRow, column: string | null): Choice | null {
  const given = column === null ? null : row.value[column];
  if (column === null || given === null || given === undefined || given === "") return null;
  const choice = choiceIn(verdicts, nameOf(given)?.trim().toLowerCase());
  if (choice !== null) return choice;
  throw new DataError(
    `${placeOf(row, column)}: expected a, b, tie or both bad (or left, right, model_a, model_b), got ${JSON.stringify(given)}.`,
  );
}
