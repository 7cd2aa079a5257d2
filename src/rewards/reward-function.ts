/** What a reward function is: a user's or a built-in one. */
import { contentText } from "../text/message-text.ts";
import type { Message } from "../text/messages.ts";

/** A prompt or a completion as TRL gives it to reward functions: text, or messages where the prompt is a conversation. */
export type PromptOrCompletion = string | readonly Message[];

/** What a reward function is called with. All lists are of the N completions of the call. */
export interface RewardInput {
  prompts: readonly PromptOrCompletion[];
  completions: readonly PromptOrCompletion[];
  /** Tokens that were drawn, the end token included where there was one. */
  completion_ids: readonly (readonly number[])[];
  /** The rows' other columns by name. Numbers are JavaScript's, a whole one beyond 2^53 is a BigInt; in `prompts` too. */
  columns: Readonly<Record<string, readonly unknown[]>>;
  /** Optimiser steps that are done. */
  step: number;
}

/** N numbers; null: this completion cannot be scored. */
export type RewardFunction = (
  input: RewardInput,
) => readonly (number | null)[] | Promise<readonly (number | null)[]>;

/** The text of a completion: that of its messages, in order, where it is a conversation. */
export function textOf(completion: PromptOrCompletion): string {
  return typeof completion === "string" ? completion : completion.map(contentText).join("");
}

/**
 * Completions of one prompt as messages name them: "completion 3 of 16 (prompts.jsonl:7), which begins …".
 *
 * @param origins - the row of each completion; left out: not known
 * @param first - the place of the first of them, from 0
 */
export function describeCompletions(
  completions: RewardInput["completions"],
  origins: readonly string[] | undefined,
  first: number,
  end: number = first + 1,
): string {
  const [places, which] =
    end === first + 1
      ? [`completion ${end}`, "which"]
      : [`completions ${first + 1} to ${end}`, "the first of which"];
  const row = origins?.[first] === undefined ? "" : ` (${origins[first]})`;
  const text = textOf(completions[first] ?? "");
  const begin =
    text.length > 80 ? `begins ${JSON.stringify(text.slice(0, 80))}` : `is ${JSON.stringify(text)}`;
  return `${places} of ${completions.length}${row}, ${which} ${begin}`;
}

/** The completions from `first` to `end` (exclusive) of a call, with all that belongs to them. */
export function sliceInput(input: RewardInput, first: number, end: number): RewardInput {
  const { prompts, completions, completion_ids, columns, step } = input;
  return {
    prompts: prompts.slice(first, end),
    completions: completions.slice(first, end),
    completion_ids: completion_ids.slice(first, end),
    columns: Object.fromEntries(
      Object.entries(columns).map(([name, values]) => [name, values.slice(first, end)]),
    ),
    step,
  };
}
