/** Finding the prompt of pairs: given apart, repeated inside the answers, or only as the answers' common beginning. */
import { isDeepStrictEqual } from "node:util";

import { DataError } from "../base/errors.ts";
import { contentText } from "../text/message-text.ts";
import type { Message } from "../text/messages.ts";
import { withSystem } from "./conversations.ts";

/** A prompt and the answers to it, as messages. */
export interface ChatParts {
  prompt: Message[];
  completions: Message[][];
  /** True when the prompt ends in an assistant's turn that the answers continue. */
  continueFinalMessage?: boolean;
}

/** A prompt and the answers to it, as plain text. */
export interface TextParts {
  prompt: string;
  completions: string[];
}

/**
 * Prompt and answers of conversations that begin alike: the prompt ends where they part, and at the latest before
 * the last assistant turn.
 *
 * @throws DataError when nothing is common, or they part before the last question
 */
export function splitConversations(conversations: readonly Message[][], where: string): ChatParts {
  const common = promptLength(conversations);
  if (common <= 0) {
    throw new DataError(
      `${where}: expected the answers to begin with the same messages, which are the prompt, ` +
        `but they share none before the answer. Add a prompt column.`,
    );
  }
  const prompt = conversations[0]?.slice(0, common) ?? [];
  const completions = conversations.map((messages) => messages.slice(common));
  checkSameQuestion(completions, where);
  return { prompt, completions };
}

/** Messages of the prompt with which all conversations begin; none: 0 or less. */
function promptLength(conversations: readonly Message[][]): number {
  return Math.min(
    ...conversations.map((messages) => messages.findLastIndex(({ role }) => role === "assistant")),
    commonMessages(conversations),
  );
}

/**
 * Prompt and answers where the row names its prompt. Answers that repeat it, as some data sets have them, lose it; plain
 * strings become an assistant's message.
 *
 * @param asked - at least one message
 * @throws DataError when answers hold another prompt than the row's
 */
export function splitExplicit(
  asked: Message[],
  answers: readonly (Message[] | string)[],
  where: string,
): ChatParts {
  const completions = answers.map((answer): Message[] =>
    typeof answer === "string" ? [{ role: "assistant", content: answer }] : answer,
  );
  if (completions.every((messages) => messages[0]?.role === "assistant")) {
    checkSameQuestion(completions, where);
    const isBegun = asked.at(-1)?.role === "assistant";
    return { prompt: asked, completions, ...(isBegun ? { continueFinalMessage: true } : {}) };
  }
  const parts = promptLength(completions) > 0 ? splitConversations(completions, where) : null;
  const system = asked[0]?.role === "system" ? contentText(asked[0]) : null;
  if (parts !== null && isRepeated(system === null ? asked : asked.slice(1), parts.prompt)) {
    return { ...parts, prompt: withSystem(parts.prompt, system, where) };
  }
  const odd = completions.findIndex(([first]) => first?.role !== "assistant");
  throw new DataError(
    `${where}: expected answers that begin with a message of the role assistant, or repeat the prompt, but answer ${odd + 1} of ` +
      `${completions.length} begins with a message of the role ${completions[odd]?.[0]?.role ?? "none"} that is not the prompt's. Fix the row.`,
  );
}

/** True when `prompt` is what was asked, or holds the one message that was. */
function isRepeated(asked: readonly Message[], prompt: readonly Message[]): boolean {
  const [question] = asked;
  if (question === undefined || asked.length > 1 || question.role !== "user") {
    return isDeepStrictEqual(withoutSystem(prompt), asked);
  }
  const text = contentText(question).trim();
  return prompt.some((message) => message.role === "user" && contentText(message).trim() === text);
}

function withoutSystem(messages: readonly Message[]): readonly Message[] {
  return messages[0]?.role === "system" ? messages.slice(1) : messages;
}

/**
 * Prompt and answers of plain strings that begin alike. The prompt ends after the last white space they share:
 * a split inside a word would cut a token in two.
 *
 * @throws DataError when they share no beginning that ends with white space
 */
export function splitStrings(texts: readonly string[], where: string): TextParts {
  const [first = "", ...others] = texts;
  let common = first.length;
  for (const text of others) {
    let n = 0;
    while (n < Math.min(common, text.length) && first[n] === text[n]) n++;
    common = n;
  }
  // Equal strings part nowhere: their last word is taken as the answer.
  const limit = common === first.length ? first.trimEnd().length : common;
  const boundary = wordStart(first, limit);
  if (first.slice(0, boundary).trim() === "") {
    throw new DataError(
      `${where}: expected the answers to begin with the same words, which are the prompt, but they share none. ` +
        `Add a prompt column.`,
    );
  }
  // The white space goes with the answer: tokenizers join it to the word that follows.
  const end = first.slice(0, boundary).trimEnd().length;
  const prompt = /\n/.test(first.slice(end, boundary)) ? boundary : end;
  return { prompt: first.slice(0, prompt), completions: texts.map((text) => text.slice(prompt)) };
}

/** The place after the last white space before `limit`, or 0. */
function wordStart(text: string, limit: number): number {
  let at = limit;
  while (at > 0 && !/\s/.test(text.charAt(at - 1))) at--;
  return at;
}

function commonMessages(conversations: readonly Message[][]): number {
  const [first = [], ...others] = conversations;
  let n = 0;
  while (n < first.length && others.every((other) => isDeepStrictEqual(other[n], first[n]))) n++;
  return n;
}

/** Answers may hold tool messages, but a user's turn in them means they answer different questions. */
function checkSameQuestion(completions: readonly Message[][], where: string): void {
  if (
    !completions.some((messages) =>
      messages.some(({ role }) => ["user", "system", "developer"].includes(role)),
    )
  )
    return;
  throw new DataError(
    `${where}: expected the answers to follow one prompt, but they part before the last user message. ` +
      `Pairs are compared on the last assistant turn alone: remove the row.`,
  );
}
