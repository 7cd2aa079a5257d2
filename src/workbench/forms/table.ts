/** A table with a prompt, two answers and a verdict: a CSV file, or what was copied from a spreadsheet or a page. */
import type { Comparison } from "../comparison.ts";
import { answerIn, type Form, nameIn, onlyVote, placeOf, without } from "./form.ts";
import { verdictIn, winnerColumns, winnerIn } from "./verdicts.ts";

const names = {
  prompt: ["prompt", "question", "instruction", "input"],
  a: ["answer_a", "answer a", "response_a", "response a", "a", "left", "answer1", "answer_1", "response_1"],
  b: ["answer_b", "answer b", "response_b", "response b", "b", "right", "answer2", "answer_2", "response_2"],
  verdict: ["better", "winner", "preference", "preferred", "verdict", "label"],
  person: ["person", "annotator", "labeller", "judge"],
  modelA: ["model_a"],
  modelB: ["model_b"],
} as const;

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
    const choice = (used.verdict === null ? null : verdictIn(row, used.verdict)) ?? winnerIn(row);
    return {
      prompt: part("prompt"),
      answers: [part("a"), part("b")],
      models: [given("modelA"), given("modelB")],
      votes: choice === null ? [] : [{ person: given("person"), choice }],
      extra: without(value, [...Object.values(used).filter((name) => name !== null), ...winnerColumns]),
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
