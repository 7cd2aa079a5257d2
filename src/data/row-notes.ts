/** Warnings about rows that can be read: the row is used. */
import { numberInText, numberOf } from "../text/json-number.ts";
import { contentText } from "../text/message-text.ts";
import { templateKeys } from "../text/messages.ts";
import type { SourceRow } from "../text/source-rows.ts";
import type { RawRow } from "./example.ts";
import type { FindingCode } from "./findings.ts";
import type { Task } from "./rows.ts";

/** Columns of scores of the chosen and the rejected answer, as UltraFeedback and Argilla's sets call them. */
const scoreColumns: readonly [string, string][] = [
  ["score_chosen", "score_rejected"],
  ["chosen_score", "rejected_score"],
  ["rating_chosen", "rating_rejected"],
  ["chosen_rating", "rejected_rating"],
  ["chosen-rating", "rejected-rating"],
];

/** Shorter prompts are often an answer's beginning by chance. */
const leastRepeated = 12;

/**
 * Findings about the row before it is tokenised, all warnings.
 *
 * @param isTextDoubtful - nobody said whether plain strings are text, and there is a chat template
 */
export function rowNotes(
  row: RawRow,
  source: SourceRow | null,
  { task, isTextDoubtful }: { task: Task; isTextDoubtful: boolean },
): FindingCode[] {
  const notes: FindingCode[] = [];
  if (source?.kind === "text" && isTextDoubtful) notes.push("plain_strings");
  if (source !== null && repeatsPrompt(source)) notes.push("prompt_repeated");
  if (task !== "sft" && isContradicted(row)) notes.push("scores_contradict");
  return notes;
}

/** Keys of the row's messages that only a chat template can read. */
export function messageKeys(source: SourceRow | null): string[] {
  if (source === null || source.kind === "text" || source.kind === "plain") return [];
  const messages =
    source.kind === "conversation" ? source.messages : [...source.prompt, ...source.completions.flat()];
  return [...new Set(messages.flatMap(templateKeys))];
}

/** True when every answer begins with the whole prompt, or with its last message. */
function repeatsPrompt(source: SourceRow): boolean {
  if (source.kind !== "text" && source.kind !== "chat") return false;
  const last = source.kind === "text" ? source.prompt : source.prompt.at(-1);
  const prompt = (typeof last === "string" || last === undefined ? (last ?? "") : contentText(last)).trim();
  const answers = source.completions.map((answer) =>
    typeof answer === "string" ? answer : answer[0] === undefined ? "" : contentText(answer[0]),
  );
  return (
    prompt.length >= leastRepeated &&
    answers.length > 0 &&
    answers.every((answer) => answer.trimStart().startsWith(prompt))
  );
}

/** True when the row has a score for both answers and the chosen one's is not the higher. */
function isContradicted({ value }: RawRow): boolean {
  return scoreColumns.some(([chosen, rejected]) => {
    const [better, worse] = [scoreOf(value[chosen]), scoreOf(value[rejected])];
    return better !== null && worse !== null && better <= worse;
  });
}

function scoreOf(value: unknown): number | null {
  const score = typeof value === "string" ? numberInText(value) : numberOf(value);
  return score === null || Number.isNaN(score) ? null : score;
}
