/** Pairs as TRL and the other forms of docs/data.md have them: what training reads, read by the same code. */
import { DataError } from "../../base/errors.ts";
import { normaliseRow } from "../../data/rows.ts";
import type { Message } from "../../text/messages.ts";
import type { Comparison } from "../comparison.ts";
import { type Form, NoComparison, onlyVote } from "./form.ts";

export const pairs: Form = {
  name: "pairs",
  words: "chosen and rejected answers, in every form that training reads (docs/data.md)",
  fits: (columns) => "chosen" in columns || "preferred_output" in columns || "chosen_response" in columns,
  read(row, map = {}): Comparison {
    const { source, columns } = normaliseRow(row, { task: "preference", columns: map });
    if (source === null) throw new NoComparison("token ids, which nobody can read");
    if (source.kind !== "chat" && source.kind !== "text") throw new NoComparison("no two answers");
    const [a, b] = source.completions;
    if (a === undefined || b === undefined) throw new NoComparison("no two answers");
    const extra = Object.fromEntries(columns.passedOver.map((name) => [name, row.value[name]]));
    const inputs =
      source.kind === "chat"
        ? {
            ...(source.tools == null ? {} : { tools: source.tools }),
            ...(source.variables === undefined ? {} : { chat_template_kwargs: source.variables }),
          }
        : {};
    return {
      prompt: source.kind === "chat" ? [...source.prompt] : source.prompt,
      answers: [copied(a), copied(b)],
      models: [null, null],
      votes: [{ person: null, choice: "a" }],
      extra: { ...extra, ...inputs },
    };
  },
  write(comparison): Record<string, unknown> {
    const vote = onlyVote(comparison, "pairs");
    if (vote === null || vote.choice === "tie" || vote.choice === "bad")
      throw new DataError("expected one of the answers to be the better one, got none. Leave the row out.");
    if (vote.person !== null || comparison.models.some((model) => model !== null)) {
      throw new DataError(
        "expected a judgment without names for a pair, got one of a person or models, for which it has no column. Write a table instead.",
      );
    }
    const [chosen, rejected] = vote.choice === "a" ? comparison.answers : comparison.answers.toReversed();
    return { prompt: comparison.prompt, chosen, rejected, ...comparison.extra };
  },
};

function copied(answer: string | readonly Message[]): string | Message[] {
  return typeof answer === "string" ? answer : [...answer];
}
