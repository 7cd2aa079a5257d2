/** Answers that an endpoint gives, turn by turn, each question on its own. */

import { forEachAtOnce } from "../endpoint/at-once.ts";
import type { ChatMessage } from "../endpoint/chat-body.ts";
import type { Endpoint } from "../endpoint/endpoint.ts";
import type { AnswerLog } from "./answer-log.ts";
import type { Question } from "./questions.ts";

/** What is asked for, and where it goes. */
export interface Asking {
  questions: readonly Question[];
  temperatureOf: (question: Question) => number;
  /** Longest answer, in tokens. */
  maxTokens: number;
  log: AnswerLog;
  /** What the answer to a question is kept under. */
  keyOf: (question: Question) => string;
  /** Called for each answer that ended at the token limit. */
  onCut: () => void;
  /** Called with the number of questions answered so far. */
  onAnswered: (done: number, total: number) => void;
}

/**
 * Adds to the log what it lacks.
 *
 * @throws {EndpointError} when the endpoint refuses a question or gives no answers; those it gave are kept
 */
export async function askEndpoint(endpoint: Endpoint, asking: Asking, concurrency: number): Promise<void> {
  const { questions, log, onAnswered } = asking;
  const open = questions.filter(({ id }) => !log.answers.has(id));
  let done = questions.length - open.length;
  await forEachAtOnce(open, concurrency, async (question) => {
    const messages: ChatMessage[] = [...question.messages];
    const turns: string[] = [];
    for (const followUp of [null, ...question.followUps]) {
      if (followUp !== null) messages.push({ role: "user", content: followUp });
      const { maxTokens, temperatureOf } = asking;
      const reply = await endpoint.chat({ messages, temperature: temperatureOf(question), maxTokens });
      if (reply.finishReason === "length") asking.onCut();
      turns.push(reply.text);
      messages.push({ role: "assistant", content: reply.text });
    }
    log.add(question.id, asking.keyOf(question), turns);
    onAnswered(++done, questions.length);
  });
}
