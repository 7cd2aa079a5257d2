/** What goes into encoding and what comes out: source rows of four kinds, encoded rows, and notes on what was done. */
import { DataError, type FormatError } from "../base/errors.ts";
import type { Message } from "./messages.ts";

interface RowBase {
  /** File and line, to begin messages with. */
  where: string;
}

interface ChatRowBase extends RowBase {
  tools?: readonly unknown[] | null;
  /** Template variables of this row alone (`chat_template_kwargs`). */
  variables?: Readonly<Record<string, unknown>>;
}

/** A conversational prompt and its answers: two for preferences, one for prompt-completion. */
export interface ChatRow extends ChatRowBase {
  kind: "chat";
  prompt: readonly Message[];
  /**
   * True: a prompt that ends in an assistant's turn has begun that turn, and the answers continue it. Default false:
   * the turn is complete, and the answers are separate turns after it.
   */
  continueFinalMessage?: boolean;
  /**
   * Whether the template may leave out tool calls that a tool's message answers: a server's client repeats what was said
   * and cannot change it. Default false: it is an error, as for every other part.
   */
  mayDropAnsweredCalls?: boolean;
  /** What a template that writes the date takes as now, in UTC. Default: what the encoder has. */
  now?: Date;
  /** Each answer is one or more messages: an assistant's, or a tool-using exchange that begins with one. */
  completions: readonly (readonly Message[])[];
}

/** A whole conversation for supervised training. */
export interface ConversationRow extends ChatRowBase {
  kind: "conversation";
  messages: readonly Message[];
}

/** A plain-text prompt and its answers. */
export interface TextRow extends RowBase {
  kind: "text";
  prompt: string;
  completions: readonly string[];
}

/** Plain text for language modelling. */
export interface PlainRow extends RowBase {
  kind: "plain";
  text: string;
}

/** A row to encode. */
export type SourceRow = ChatRow | ConversationRow | TextRow | PlainRow;

/** One answer's tokens. */
export interface EncodedCompletion {
  ids: number[];
  /** 1 where the token counts in the loss. Absent: all do. */
  mask?: number[];
}

/**
 * Things done while encoding that a preflight report counts:
 * - `boundary_moved`: prompt tokens went to the answer because they merge with its beginning
 * - `end_of_turn_added`: the template ended the answer without a terminator; one was added
 * - `end_of_turn_unmarked`: the template's generation marks leave out the token that ends a turn; it is learned all the same
 * - `end_of_turn_inside`: a single answer holds its end-of-turn token more than once
 * - `double_bos`: a second BOS at the beginning was left out
 * - `empty_thinking_in_answer`: the template put an empty thinking block into the answer, and so into the loss
 * - `generation_prompt_joined`: the answer was set behind the generation prompt, which the template writes differently
 * - `history_calls_dropped`: the template leaves answered tool calls out, where the row allows it
 * - `history_thinking_dropped`: the template leaves the thinking of earlier assistant turns out of the history
 * - `no_generation_prompt`: the template writes no generation prompt; the assistant's header was put into the prompt all the same
 * - `turn_rewritten`: an earlier assistant turn is trained as the template shows it in the history
 * - `leading_assistant_skipped`: the conversation begins with an assistant turn, which has no prompt
 * - `trailing_messages_dropped`: messages after the last assistant turn were left out
 */
export type EncodeNote =
  | "boundary_moved"
  | "end_of_turn_added"
  | "end_of_turn_unmarked"
  | "end_of_turn_inside"
  | "double_bos"
  | "empty_thinking_in_answer"
  | "generation_prompt_joined"
  | "history_calls_dropped"
  | "history_thinking_dropped"
  | "no_generation_prompt"
  | "turn_rewritten"
  | "leading_assistant_skipped"
  | "trailing_messages_dropped";

/** A row as token ids. The prompt is the same for all completions. */
export interface EncodedRow {
  promptIds: number[];
  /** The prompt alone, with the tokens that went to the answers; left out where none did. */
  promptAlone?: number[];
  completions: EncodedCompletion[];
  /** Prompt tokens that went to the answers. */
  boundaryMoved: number;
  notes: EncodeNote[];
}

/** What one row gave: token ids, or the error that names it. */
export type EncodeOutcome = { row: EncodedRow } | { error: DataError | FormatError };

/** An answer, or an assistant's turn that is learned, says nothing. */
export class EmptyAnswerError extends DataError {}

const saidOfPrompts: Partial<Record<EncodeNote, string>> = {
  history_calls_dropped:
    "the chat template does not write tool_calls; the calls that tool messages answer are left out of the prompt.",
  no_generation_prompt:
    "the chat template ignores add_generation_prompt; the assistant's header, as before answers, was appended to the " +
    "prompt. Other programs ask this model without it.",
  double_bos: "a second BOS at the beginning of the prompt is left out. Take it out of the text.",
};

/** What whoever asks has to know of how a prompt became tokens. */
export function promptWarnings(notes: Iterable<EncodeNote>): string[] {
  return [...notes].flatMap((note) => saidOfPrompts[note] ?? []);
}
