/** Records of Argilla 2 as `records.to_json` writes them: fields with a prompt and two responses, responses by question. */
import { DataError } from "../../base/errors.ts";
import type { Choice, Comparison, GivenVote } from "../comparison.ts";
import { answerIn, choiceIn, type Form, nameIn, objectIn, objectsIn, placeOf, without } from "./form.ts";

const promptNames = ["prompt", "instruction", "question"];
const answerNames = [
  ["response-1", "response-2"],
  ["response_1", "response_2"],
  ["response1", "response2"],
  ["response_a", "response_b"],
  ["answer_1", "answer_2"],
] as const;

const choiceWords: Readonly<Record<string, Choice>> = {
  tie: "tie",
  both: "tie",
  neither: "bad",
  none: "bad",
};

export const argilla: Form = {
  name: "argilla",
  words: "records of Argilla (JSON): fields with a prompt and two responses, and the answers to one question",
  fits: (columns) => objectIn(columns["fields"]) !== null && "responses" in columns,
  read(row): Comparison {
    const fields = objectIn(row.value["fields"]) ?? {};
    const prompt = promptNames.find((name) => name in fields);
    const names = answerNames.find((pair) => pair.every((name) => name in fields));
    if (prompt === undefined || names === undefined) {
      throw new DataError(
        `${placeOf(row, "fields")}: expected a prompt (${promptNames.join(", ")}) and two responses ` +
          `(${answerNames.map((pair) => pair.join(" and ")).join(", ")}), got ${Object.keys(fields).join(", ") || "nothing"}. Rename the fields.`,
      );
    }
    const part = (name: string) => answerIn(fields[name], placeOf(row, `fields.${name}`));
    const metadata = objectIn(row.value["metadata"]) ?? {};
    return {
      prompt: part(prompt),
      answers: [part(names[0]), part(names[1])],
      models: [nameIn(metadata["model_1"]), nameIn(metadata["model_2"])],
      votes: votesIn(row.value["responses"], names),
      extra: without(metadata, ["model_1", "model_2"]),
    };
  },
  write({ prompt, answers: [first, second], models: [one, two], votes, extra }): Record<string, unknown> {
    return {
      fields: { prompt, "response-1": first, "response-2": second },
      metadata: {
        ...extra,
        ...(one === null ? {} : { model_1: one }),
        ...(two === null ? {} : { model_2: two }),
      },
      responses: {
        preference: votes.map(({ person, choice }) => ({ value: wordOf(choice), user_id: person })),
      },
    };
  },
};

/** Every answer of one question: its value is a label, or a ranking whose ranks say which is first. */
function votesIn(responses: unknown, names: readonly [string, string]): GivenVote[] {
  return Object.values(objectIn(responses) ?? {}).flatMap((given) =>
    objectsIn(given).flatMap(({ value, user_id: user, status }) => {
      if (status === "discarded" || status === "draft") return [];
      const choice = Array.isArray(value) ? ofRanking(objectsIn(value), names) : ofLabel(value, names);
      return choice === null ? [] : [{ person: nameIn(user), choice }];
    }),
  );
}

function ofLabel(value: unknown, [first, second]: readonly [string, string]): Choice | null {
  if (value === first) return "a";
  if (value === second) return "b";
  return choiceIn(choiceWords, value);
}

function ofRanking(
  ranks: Record<string, unknown>[],
  [first, second]: readonly [string, string],
): Choice | null {
  const rankOf = (name: string) => Number(ranks.find(({ value }) => value === name)?.["rank"]);
  const apart = rankOf(first) - rankOf(second);
  if (Number.isNaN(apart)) return null;
  return apart === 0 ? "tie" : apart < 0 ? "a" : "b";
}

function wordOf(choice: Choice): string {
  return { a: "response-1", b: "response-2", tie: "tie", bad: "neither" }[choice];
}
