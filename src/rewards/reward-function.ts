/** What a reward function is: a user's or a built-in one. */
import type { Message } from "../text/messages.ts";

/** A prompt or a completion as TRL gives it to reward functions: text, or messages where the prompt is a conversation. */
export type PromptOrCompletion = string | readonly Message[];

/** What a reward function is called with. All lists are of the N completions of the call. */
export interface RewardInput {
  prompts: readonly PromptOrCompletion[];
  completions: readonly PromptOrCompletion[];
  /** Tokens that were drawn, the end token included where there was one. */
  completion_ids: readonly (readonly number[])[];
  /** The rows' other columns by name. */
  columns: Readonly<Record<string, readonly unknown[]>>;
  /** Optimiser steps that are done. */
  step: number;
}

/** N numbers; null: this completion cannot be scored. */
export type RewardFunction = (
  input: RewardInput,
) => readonly (number | null)[] | Promise<readonly (number | null)[]>;
