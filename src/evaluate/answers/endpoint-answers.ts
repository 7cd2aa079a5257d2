/** Answers of an endpoint, turn by turn, each question separately. */
import { forEachAtOnce } from "../endpoint/at-once.ts";
import type { Endpoint } from "../endpoint/endpoint.ts";
import type { AnswerLog } from "./answer-log.ts";
import { conversation, type Question } from "./questions.ts";

/** Questions to be answered, and the log that the answers go to. */
export interface AnswerRequest {
  questions: readonly Question[];
  temperatureOf: (question: Question) => number;
  /** Longest answer, in tokens. */
  maxTokens: number;
  log: AnswerLog;
  /** The key of a question's answer in the log. */
  keyOf: (question: Question) => string;
  /** Called for each answer that ended at the token limit. */
  onCut: () => void;
  /** Called with the number of questions answered so far. */
  onAnswered: (done: number, total: number) => void;
}

/**
 * Adds the missing answers to the log.
 *
 * @throws {EndpointError} when the endpoint refuses a question or gives no answers; those it gave are kept
 */
export async function askEndpoint(
  endpoint: Endpoint,
  request: AnswerRequest,
  concurrency: number,
): Promise<void> {
  const { questions, log, onAnswered } = request;
  const open = questions.filter(({ id }) => !log.answers.has(id));
  let done = questions.length - open.length;
  await forEachAtOnce(open, concurrency, async (question) => {
    const { maxTokens, temperatureOf } = request;
    const turns = [...log.firstTurns(question.id)];
    while (turns.length <= question.followUps.length) {
      const messages = conversation(question, turns);
      const reply = await endpoint.chat({ messages, temperature: temperatureOf(question), maxTokens });
      if (reply.finishReason === "length") request.onCut();
      turns.push(reply.text);
      if (turns.length <= question.followUps.length) {
        log.keep(question.id, request.keyOf(question), turns);
      }
    }
    log.add(question.id, request.keyOf(question), turns);
    onAnswered(++done, questions.length);
  });
}
