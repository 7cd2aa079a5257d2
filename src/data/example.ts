/** Tokenised training rows: what `data/` hands to `train/`. Plain arrays, no tensors. */

import type { DataError } from "../base/errors.ts";
import type { Message } from "../text/messages.ts";

/** Where a row came from, for messages. */
export interface Origin {
  file: string;
  /** 1-based line (JSONL, CSV) or row (Parquet, JSON list). */
  line: number;
}

/** A row as its file has it. */
export interface RawRow {
  origin: Origin;
  /** Throws a DataError where the row itself has a fault (`faultyRow`), so that it alone can be dropped. */
  readonly value: Record<string, unknown>;
  /** True when all values are strings because the file knows no other type (CSV). */
  isText?: boolean;
  /** Whether the file's schema has a field of structures at this path (`meta.system`): a row without it has null there. */
  isField?: (path: string) => boolean;
}

/** A row that is there but cannot be used, for the fault `error`, which whoever reads its value is given. */
export function faultyRow(origin: Origin, error: DataError): RawRow {
  return {
    origin,
    get value(): never {
      throw error;
    },
  };
}

/** One answer's tokens. */
export interface Completion {
  ids: number[];
  /** 1 where the token counts in the loss. Absent: all do. Multi-turn SFT rows mask the user's turns. */
  mask?: number[];
}

/** What was done to a row between its file and its tokens, for the preflight report. Absent where nothing was. */
export interface Trace {
  /** True for rows that came as token ids: their special tokens are the author's choice. */
  isPretokenised?: boolean;
  /** Prompt tokens that went to the answers because they merge with an answer's beginning. */
  boundaryMoved?: number;
  /** Names of things the encoder did (`EncodeNote`). */
  notes?: readonly string[];
  /** Tokens cut from the prompt's beginning to fit `max_length`. */
  promptTokensCut?: number;
  /** Tokens cut from the ends of the answers, all together. */
  answerTokensCut?: number;
  /** Answers that lost their end-of-turn token. */
  endsLost?: number;
  /** Identity of the prompt before it was cut or tokens of it went to the answers. */
  promptKey?: string;
  /** The tokens before the cut, where they were asked for. */
  uncut?: Uncut;
}

/** A row's tokens as they were before they were cut. */
export type Uncut = Pick<Example, "promptIds" | "completions">;

/** What reward functions are given of a row, with numbers as JavaScript has them (`plainNumbers`): it goes to other processes. */
export interface RewardRow {
  /** Text, or messages where the prompt is a conversation. */
  prompt: string | readonly Message[];
  /** The row's other columns by their names in the file. */
  columns: Readonly<Record<string, unknown>>;
}

/**
 * A prompt and its answers: [chosen, rejected] for preference rows, one answer for SFT rows, one or none, a good completion,
 * for prompts of an on-policy run.
 */
export interface Example {
  origin: Origin;
  promptIds: number[];
  /** What completions are sampled of in an on-policy run, where the good completion's prompt has other tokens; see `promptOf`. */
  sampledPromptIds?: number[];
  completions: Completion[];
  /** Reference sums of log-probs, one per completion, when the row brings them (`ref_chosen_logps`, `ref_rejected_logps`). */
  referenceLogps?: number[];
  /** By how much the chosen answer is better, where the row says it and a reward model is trained (`margin`). */
  margin?: number;
  /** Whether the answer is a good one, where rows of one answer are read with their labels. */
  label?: boolean;
  /** What rewards are given of the row, in an on-policy run. */
  reward?: RewardRow;
  trace?: Trace;
}

/** The tokens that a model is asked with: the prompt alone, whatever of it merges with a completion or is cut for one. */
export function promptOf({
  promptIds,
  sampledPromptIds,
}: Pick<Example, "promptIds" | "sampledPromptIds">): number[] {
  return sampledPromptIds ?? promptIds;
}

/** Origin as messages show it: `file:line`. */
export function describeOrigin(origin: Origin): string {
  return `${origin.file}:${origin.line}`;
}
