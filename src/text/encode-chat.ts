/**
 * Token ids of a conversational prompt and its answers.
 *
 * The prompt is rendered with the generation prompt and tokenised once; every answer is what the template writes
 * beyond it, up to and including the end-of-turn token.
 */
import { at } from "../base/at.ts";
import { DataError } from "../base/errors.ts";
import { aloneOf, commonPrefixLength, describeDifference, splitAtBoundary } from "./boundary.ts";
import type { ChatFormat } from "./chat-format.ts";
import { isContinued, joinedMessages, promptMessages, promptText } from "./continued-turn.ts";
import { withoutDoubleBos } from "./encode-plain.ts";
import {
  type ChatContext,
  checkSaysSomething,
  endAtTerminator,
  learnedTokens,
  markedSpans,
  noteEmptyThinking,
  opening,
  type RowRequest,
  turnRequests,
  turnSpans,
} from "./encode-turns.ts";
import type { TextSpan } from "./generation-marks.ts";
import { contentText } from "./message-text.ts";
import type { Message } from "./messages.ts";
import type { ChatRow, EncodedCompletion, EncodedRow, EncodeNote } from "./source-rows.ts";
import type { Rendering } from "./template.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** The renderings that `finishChat` needs: the prompt, then for each answer the whole and its turns. */
export function chatRequests(row: ChatRow, context: ChatContext): RowRequest[] {
  checkRoles(row);
  const variables = { ...context.variables, ...row.variables };
  const common = { tools: row.tools ?? null, variables, now: row.now };
  const learnedFrom = answerStart(row);
  const addGenerationPrompt = !isContinued(row);
  const isAlone = row.completions.length === 0;
  const checked = { learnedFrom, mayDropAnsweredCalls: row.mayDropAnsweredCalls ?? false };
  return [
    { ...common, messages: promptMessages(row), addGenerationPrompt, ...(isAlone ? checked : {}) },
    ...row.completions.flatMap((completion): RowRequest[] => {
      const messages = joinedMessages(row, completion);
      const turns = turnsOf(row, completion, context);
      return [
        { ...common, messages, addGenerationPrompt: false, learnedFrom },
        ...turnRequests({ messages, turns }, common),
      ];
    }),
  ];
}

/**
 * Positions of the assistant turns of prompt and answer that have to be separated from the rest of the answer. None
 * where the answer is one message, where the template marks the turns itself, and where everything counts.
 */
function turnsOf(row: ChatRow, completion: readonly Message[], context: ChatContext): number[] {
  if (completion.length === 1 || context.hasMarks || !context.maskToolOutput) return [];
  const start = answerStart(row);
  return completion.flatMap(({ role }, i) => (role === "assistant" ? [start + i] : []));
}

/** Position of the answer's first message in the whole conversation. */
function answerStart(row: ChatRow): number {
  return isContinued(row) ? row.prompt.length - 1 : row.prompt.length;
}

/** A prompt rendered, and what there is to say of it. */
export interface PromptText {
  text: string;
  notes: EncodeNote[];
}

/** The text of a prompt without answers: `finishChat` up to its tokens. */
export function chatPrompt(row: ChatRow, rendered: readonly Rendering[], context: ChatContext): PromptText {
  const notes = new Set<EncodeNote>();
  const text = promptOf(row, rendered[0]?.text ?? "", context.format, notes);
  return { text, notes: [...notes] };
}

/**
 * The ids of that text as `finishChat` has them, in steps that yield the fewest tokens it is known to have.
 *
 * @param prompt - its notes get those about its tokens
 * @throws DataError when there are none
 */
export function* chatPromptSteps(
  { text, notes }: { text: string; notes: Set<EncodeNote> },
  where: string,
  tokenizer: Tokenizer,
): Generator<number, number[]> {
  const ids = yield* tokenizer.encodeSteps(text, { addSpecialTokens: false });
  if (ids.length === 0) throw noPrompt(where);
  return withoutDoubleBos(ids, tokenizer, notes);
}

function noPrompt(where: string): DataError {
  return new DataError(
    `${where}: expected the chat template to write a prompt, but it wrote nothing before the answer.`,
  );
}

/** What the answers follow: the rendered prompt, up to where a begun turn continues, or with the assistant's header. */
function promptOf(row: ChatRow, rendered: string, format: ChatFormat, notes: Set<EncodeNote>): string {
  if (isContinued(row)) return promptText(row, rendered);
  if (format.header !== "") notes.add("no_generation_prompt");
  return opening(rendered, format);
}

/**
 * The row's token ids from its renderings. In answers of several messages the assistant's count in the loss; what tools
 * wrote, and what the template writes between the turns, does not.
 *
 * @throws DataError when the prompt is not the beginning of an answer's rendering and cannot be made so
 */
export function finishChat(row: ChatRow, rendered: readonly Rendering[], context: ChatContext): EncodedRow {
  const notes = new Set<EncodeNote>();
  const prompt = promptOf(row, rendered[0]?.text ?? "", context.format, notes);
  let next = 1;
  const answers = row.completions.map((completion) => {
    const turns = turnsOf(row, completion, context);
    const mine = rendered.slice(next, next + 1 + 2 * turns.length);
    next += mine.length;
    return answerText({ prompt, rendered: mine, turns }, { row, completion, notes }, context);
  });
  const { tokenizer, format } = context;
  for (const [i, { text, spans }] of answers.entries()) {
    const turns = (spans ?? [{ start: 0, end: text.length }]).map(({ start, end }) => {
      return { start: Math.max(start, prompt.length), end };
    });
    const what = `${row.where}: expected answer ${i + 1} of ${answers.length}`;
    checkSaysSomething(text, turns, { format, hasMarks: context.hasMarks, what });
  }
  const encode = (text: string): number[] =>
    withoutDoubleBos(tokenizer.encode(text, { addSpecialTokens: false }), tokenizer, notes);
  const alone = encode(prompt);
  const shared = splitAtBoundary(
    alone,
    answers.map(({ text }) => encode(text)),
  );
  if (shared.promptIds.length === 0) throw noPrompt(row.where);
  const { promptIds } = shared;
  const completions = shared.continuations.map((ids, i) =>
    masked({ promptIds, ids }, at(answers, i), encode),
  );
  const moved = completions.reduce((sum, completion) => sum + completion.moved, shared.moved);
  if (moved > 0) notes.add("boundary_moved");
  for (const [i, { ids }] of completions.entries()) {
    const isSingle = (row.completions[i] ?? []).length === 1;
    if (isSingle && ids.indexOf(format.endOfTurnId) < ids.length - 1) notes.add("end_of_turn_inside");
  }
  return {
    promptIds,
    completions: completions.map(({ moved: _, ...completion }) => completion),
    ...aloneOf(alone, promptIds),
    boundaryMoved: moved,
    notes: [...notes],
  };
}

/** The answer's tokens, masked where some of them do not count. */
function masked(
  { promptIds, ids }: { promptIds: number[]; ids: number[] },
  { text, spans }: AnswerText,
  encode: (text: string) => number[],
): EncodedCompletion & { moved: number } {
  if (spans === null) return { ids, moved: 0 };
  const learned = learnedTokens(text, [...promptIds, ...ids], spans, encode);
  const mask = learned.mask.slice(promptIds.length);
  return { ids, moved: learned.moved, ...(mask.every((bit) => bit === 1) ? {} : { mask }) };
}

function checkRoles(row: ChatRow): void {
  if (row.prompt.length === 0) {
    throw new DataError(
      `${row.where}: expected at least one message in the prompt. Add one or remove the row.`,
    );
  }
  for (const completion of row.completions) {
    const first = completion[0]?.role;
    const last = completion.at(-1)?.role;
    if (first !== "assistant" || last !== "assistant") {
      const got = first === "assistant" ? `ends with ${last}` : `begins with ${first ?? "nothing"}`;
      throw new DataError(
        `${row.where}: expected an answer to begin and end with an assistant message, but it ${got}. Fix the row.`,
      );
    }
  }
}

interface Answer {
  row: ChatRow;
  completion: readonly Message[];
  notes: Set<EncodeNote>;
}

/** Prompt and answer as one text, and which of the answer's characters count; null: all. */
interface AnswerText {
  text: string;
  /** The first may reach back into the prompt, whose tokens never count. */
  spans: TextSpan[] | null;
}

interface AnswerParts {
  prompt: string;
  /** The whole, then two renderings for each of `turns`. */
  rendered: readonly Rendering[];
  turns: readonly number[];
}

/** Prompt and answer as one text that begins with `prompt` and ends with the end-of-turn token. */
function answerText(
  { prompt, rendered, turns }: AnswerParts,
  answer: Answer,
  context: ChatContext,
): AnswerText {
  const { format } = context;
  const { row, completion, notes } = answer;
  const [full = { text: "", generated: null }, ...turnsRendered] = rendered;
  if (!full.text.startsWith(prompt)) {
    const joined = isContinued(row) ? null : joinToPrompt(prompt, full.text, completion, format);
    if (joined === null) throw inconsistent(prompt, full.text, answer);
    notes.add("generation_prompt_joined");
    return { text: endAtTerminator(joined, prompt.length, context, notes), spans: null };
  }
  const text = endAtTerminator(full.text, prompt.length, context, notes);
  if (context.maskToolOutput && full.generated !== null) {
    const spans = markedSpans(text, full.generated, format, notes).filter(({ end }) => end > prompt.length);
    const learned = spans.map(({ start, end }) => ({ start: Math.max(start, prompt.length), end }));
    noteEmptyThinking(text, learned, completion, notes);
    return { text, spans };
  }
  noteEmptyThinking(text, [{ start: prompt.length, end: text.length }], completion.slice(0, 1), notes);
  if (turns.length === 0) return { text, spans: null };
  const messages = joinedMessages(row, completion);
  const search = { where: row.where, messages, turns, remedy: "Set mask_tool_output: false" };
  const [first, ...others] = turnSpans(text, search, turnsRendered, { context, notes });
  // What the prompt shares with an answer's first token is in every answer of the row, wherever they part.
  return { text, spans: [{ start: 0, end: first?.end ?? text.length }, ...others] };
}

/**
 * Where the template writes the assistant's turn differently from its generation prompt, the plain answer set behind
 * the generation prompt, as a model would continue it. Null when the two differ in more than that.
 */
function joinToPrompt(
  prompt: string,
  full: string,
  completion: readonly Message[],
  format: ChatFormat,
): string | null {
  const [message] = completion;
  const asking = format.generationPrompt;
  if (message === undefined || completion.length > 1 || asking === "" || !prompt.endsWith(asking))
    return null;
  if (message.tool_calls !== undefined || message.reasoning_content !== undefined) return null;
  const content = contentText(message);
  if (content.includes("<think>") || content.includes("</think>")) return null;
  if (!full.startsWith(prompt.slice(0, prompt.length - asking.length))) return null;
  for (const ending of [content + format.tail, content.trim() + format.tail]) {
    if (full.endsWith(ending)) return prompt + ending;
  }
  return null;
}

function inconsistent(prompt: string, full: string, { row }: Answer): DataError {
  if (isContinued(row)) {
    return new DataError(
      `${row.where}: expected the chat template to write the turn that the prompt ends with the same way once the answer ` +
        `continues it, but ${describeDifference(prompt, full)}. End the prompt with the user's message, or give another ` +
        `template with chat_template.`,
    );
  }
  const at = commonPrefixLength(prompt, full);
  const isThinking = `${prompt.slice(at - 10)}${full.slice(at - 10, at + 40)}`.includes("think");
  const remedy = isThinking
    ? `Set enable_thinking to true or null where answers hold their thinking, to false where they hold none, ` +
      `or take <think>...</think> out of the data.`
    : `Use a chat template that writes earlier turns the same way with and without an answer.`;
  return new DataError(
    `${row.where}: expected the rendered prompt to be the beginning of prompt and answer, but ` +
      `${describeDifference(prompt, full)}. ${remedy}`,
  );
}
