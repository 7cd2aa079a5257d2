/** Tasks of Label Studio with a Pairwise tag, as its JSON export has them: one judgment an annotation. */
import { DataError } from "../../base/errors.ts";
import type { Choice, Comparison, GivenVote } from "../comparison.ts";
import { answerIn, choiceIn, type Form, nameIn, objectIn, objectsIn, placeOf, without } from "./form.ts";

/** Names under which templates keep prompt and answers in a task's data. */
const promptNames = ["prompt", "question", "instruction", "input"];
const answerNames = [
  ["answer1", "answer2"],
  ["text1", "text2"],
  ["response1", "response2"],
  ["response_a", "response_b"],
  ["answer_a", "answer_b"],
  ["left", "right"],
] as const;

export const labelStudio: Form = {
  name: "label-studio",
  words: "tasks of Label Studio with a Pairwise tag (JSON): data with a prompt and two answers, annotations",
  fits: (columns) => objectIn(columns["data"]) !== null && Array.isArray(columns["annotations"]),
  read(row): Comparison {
    const data = objectIn(row.value["data"]) ?? {};
    const prompt = promptNames.find((name) => name in data);
    const names = answerNames.find((pair) => pair.every((name) => name in data));
    if (prompt === undefined || names === undefined) {
      throw new DataError(
        `${placeOf(row, "data")}: expected a prompt (${promptNames.join(", ")}) and two answers ` +
          `(${answerNames.map((pair) => pair.join(" and ")).join(", ")}), got ${Object.keys(data).join(", ") || "nothing"}. Rename the task's fields.`,
      );
    }
    const part = (name: string) => answerIn(data[name], placeOf(row, `data.${name}`));
    return {
      prompt: part(prompt),
      answers: [part(names[0]), part(names[1])],
      models: [nameIn(data["model1"]), nameIn(data["model2"])],
      votes: objectsIn(row.value["annotations"]).flatMap((annotation) => votesOf(annotation, names)),
      extra: without(data, [prompt, ...names, "model1", "model2"]),
    };
  },
  write({
    prompt,
    answers: [answer1, answer2],
    models: [model1, model2],
    votes,
    extra,
  }): Record<string, unknown> {
    return {
      data: {
        ...extra,
        prompt,
        answer1,
        answer2,
        ...(model1 === null ? {} : { model1 }),
        ...(model2 === null ? {} : { model2 }),
      },
      annotations: votes.map(({ person, choice }) => ({
        ...(person === null ? {} : { completed_by: person }),
        result: [resultOf(choice)],
      })),
    };
  },
};

function votesOf(annotation: Record<string, unknown>, names: readonly [string, string]): GivenVote[] {
  if (annotation["was_cancelled"] === true) return [];
  const by = annotation["completed_by"];
  const person = nameIn(objectIn(by)?.["email"]) ?? nameIn(objectIn(by)?.["id"]) ?? nameIn(by);
  const results = objectsIn(annotation["result"]);
  // one judgment an annotation: the tag for ties is filled in beside the one for sides, which may not stay empty
  const given = [...results.filter(({ type }) => type !== "pairwise"), ...results];
  const [choice] = given.flatMap((result) => choiceOf(result, names) ?? []);
  return choice === undefined ? [] : [{ person, choice }];
}

function choiceOf(
  { type, value }: Record<string, unknown>,
  [first, second]: readonly [string, string],
): Choice | null {
  const { selected, choices } = objectIn(value) ?? {};
  const given = type === "pairwise" ? selected : Array.isArray(choices) ? choices[0] : undefined;
  const words: Record<string, Choice> = {
    left: "a",
    right: "b",
    [first]: "a",
    [second]: "b",
    tie: "tie",
    "both bad": "bad",
  };
  return choiceIn(words, given);
}

/** The Pairwise tag knows left and right; what else there is takes a Choices tag beside it. */
function resultOf(choice: GivenVote["choice"]): Record<string, unknown> {
  if (choice === "a" || choice === "b") {
    return {
      from_name: "comparison",
      type: "pairwise",
      value: { selected: choice === "a" ? "left" : "right" },
    };
  }
  const word = choice === "tie" ? "tie" : "both bad";
  return { from_name: "verdict", type: "choices", value: { choices: [word] } };
}
