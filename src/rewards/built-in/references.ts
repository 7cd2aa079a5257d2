/** Reference answers of the rows, for the built-in rewards that compare with them. */
import type { RewardInput } from "../reward-function.ts";
import { textOf } from "../reward-function.ts";

/**
 * A reward that compares each completion's text with the references of its row: one, or a list of which one must fit. A row
 * without a reference is not scored.
 *
 * @param compare - the reward for one reference; null: that reference is unusable
 */
export function compareWithReferences(
  { completions, columns }: RewardInput,
  column: string,
  compare: (completion: string, reference: string) => number | null,
): (number | null)[] {
  const references = columns[column];
  if (references === undefined) throw new Error(`the rows have no column "${column}"`);
  return completions.map((completion, i) => {
    const text = textOf(completion);
    const scores = referencesIn(references[i])
      .map((reference) => compare(text, reference))
      .filter((score) => score !== null);
    return scores.length === 0 ? null : Math.max(...scores);
  });
}

/** The references in a value: texts and numbers; an answer as messages counts as its text. */
function referencesIn(value: unknown): string[] {
  if (typeof value === "string") return [value];
  if (typeof value === "number" || typeof value === "bigint") return [String(value)];
  if (!Array.isArray(value)) return [];
  if (value.length > 0 && value.every((entry) => typeof Object(entry).content === "string"))
    return [textOf(value)];
  return value.flatMap((entry) => (Array.isArray(entry) ? [] : referencesIn(entry)));
}
