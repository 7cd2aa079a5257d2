/**
 * Token ids of a conversational prompt and its answers.
 *
 * The prompt is rendered with the generation prompt and tokenised once; every answer is what the template writes
 * beyond it, up to and including the end-of-turn token.
 */
import { DataError } from "../base/errors.ts";
import { commonPrefixLength, describeDifference, splitAtBoundary } from "./boundary.ts";
import type { ChatFormat } from "./chat-format.ts";
import { withoutDoubleBos } from "./encode-plain.ts";
import { contentText, type Message } from "./messages.ts";
import type { ChatRow, EncodedRow, EncodeNote } from "./rows.ts";
import type { RenderRequest } from "./template.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** What rows of one template share. */
export interface ChatContext {
  tokenizer: Tokenizer;
  format: ChatFormat;
  /** Template variables of every row, such as `enable_thinking`. */
  variables: Readonly<Record<string, unknown>>;
}

const emptyThinking = /^\s*<think>\s*<\/think>/;

/** The renderings that `finishChat` needs: the prompt, then prompt and answer for each answer. */
export function chatRequests(row: ChatRow, context: ChatContext): RenderRequest[] {
  checkRoles(row);
  const common = { tools: row.tools ?? null, variables: { ...context.variables, ...row.variables } };
  return [
    { ...common, messages: row.prompt, addGenerationPrompt: true },
    ...row.completions.map((completion) => ({
      ...common,
      messages: [...row.prompt, ...completion],
      addGenerationPrompt: false,
    })),
  ];
}

/**
 * The row's token ids from its renderings.
 *
 * @throws DataError when the prompt is not the beginning of an answer's rendering and cannot be made so
 */
export function finishChat(row: ChatRow, rendered: readonly string[], context: ChatContext): EncodedRow {
  const [prompt = "", ...fulls] = rendered;
  const notes = new Set<EncodeNote>();
  const texts = fulls.map((full, i) => {
    const answer = { row, completion: row.completions[i] ?? [], notes };
    return answerText(prompt, full, answer, context);
  });
  const { tokenizer, format } = context;
  const encode = (text: string): number[] =>
    withoutDoubleBos(tokenizer.encode(text, { addSpecialTokens: false }), tokenizer, notes);
  const shared = splitAtBoundary(encode(prompt), texts.map(encode));
  if (shared.promptIds.length === 0) {
    throw new DataError(
      `${row.where}: expected the chat template to write a prompt, but it wrote nothing before the answer.`,
    );
  }
  if (shared.moved > 0) notes.add("boundary_moved");
  for (const [i, ids] of shared.continuations.entries()) {
    const isSingle = (row.completions[i] ?? []).length === 1;
    if (isSingle && ids.indexOf(format.endOfTurnId) < ids.length - 1) notes.add("end_of_turn_inside");
  }
  return {
    promptIds: shared.promptIds,
    completions: shared.continuations.map((ids) => ({ ids })),
    boundaryMoved: shared.moved,
    notes: [...notes],
  };
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
        `${row.where}: expected an answer to begin and end with an assistant message, but it ${got}. Mend the row.`,
      );
    }
  }
}

interface Answer {
  row: ChatRow;
  completion: readonly Message[];
  notes: Set<EncodeNote>;
}

/** Prompt and answer as one text that begins with `prompt` and ends with the end-of-turn token. */
function answerText(prompt: string, full: string, answer: Answer, context: ChatContext): string {
  const { format } = context;
  let text = full;
  if (!full.startsWith(prompt)) {
    const joined = joinToPrompt(prompt, full, answer.completion, format);
    if (joined === null) throw inconsistent(prompt, full, answer);
    answer.notes.add("generation_prompt_joined");
    text = joined;
  }
  const ended = endAtTerminator(text, prompt.length, context, answer.notes);
  noteEmptyThinking(ended.slice(prompt.length), answer.completion[0], answer.notes);
  return ended;
}

/** Adds a note when `answer` begins with a thinking block that the template made up. */
export function noteEmptyThinking(
  answer: string,
  message: Message | undefined,
  notes: Set<EncodeNote>,
): void {
  const isOwn = message === undefined || contentText(message).includes("</think>");
  if (!isOwn && emptyThinking.test(answer)) notes.add("empty_thinking_in_answer");
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
  const opening = format.generationPrompt;
  if (message === undefined || completion.length > 1 || opening === "" || !prompt.endsWith(opening))
    return null;
  if (message.tool_calls !== undefined || message.reasoning_content !== undefined) return null;
  const content = contentText(message);
  if (content.includes("<think>") || content.includes("</think>")) return null;
  if (!full.startsWith(prompt.slice(0, prompt.length - opening.length))) return null;
  for (const ending of [content + format.tail, content.trim() + format.tail]) {
    if (full.endsWith(ending)) return prompt + ending;
  }
  return null;
}

/** `text` cut after the token that ends its last turn; the token is added where the template writes none. */
export function endAtTerminator(
  text: string,
  answerStart: number,
  { format, tokenizer }: ChatContext,
  notes: Set<EncodeNote>,
): string {
  if (text.endsWith(format.tail) && text.length - format.tail.length >= answerStart) {
    const cut = text.slice(0, text.length - format.trailer.length);
    if (format.writesEndOfTurn) return cut;
    notes.add("end_of_turn_added");
    return cut + format.endOfTurn;
  }
  let end = -1;
  for (const id of format.stopIds) {
    const stop = tokenizer.decode([id], { skipSpecialTokens: false });
    const at = stop === "" ? -1 : text.lastIndexOf(stop);
    if (at >= answerStart) end = Math.max(end, at + stop.length);
  }
  if (end >= 0) return text.slice(0, end);
  notes.add("end_of_turn_added");
  return text + format.endOfTurn;
}

function inconsistent(prompt: string, full: string, { row }: Answer): DataError {
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
