/** Answers of an endpoint, turn by turn, each question separately. */
import { EndpointError } from "../../base/errors.ts";
import { warn } from "../../base/warn.ts";
import { forEachAtOnce } from "../endpoint/at-once.ts";
import type { ChatRequest } from "../endpoint/chat-body.ts";
import type { Endpoint } from "../endpoint/endpoint.ts";
import { isRefusal, Refusals, remedyOf } from "../endpoint/refusals.ts";
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
  /** Called with the number of questions answered so far. */
  onAnswered: (done: number, total: number) => void;
}

/**
 * Adds the missing answers to the log. Questions that the endpoint refuses as such, too long or against its rules, stay without one;
 * a note says how many.
 *
 * @throws {EndpointError} when the endpoint gives no answers; those it gave are kept
 */
export async function askEndpoint(
  endpoint: Endpoint,
  request: AnswerRequest,
  concurrency: number,
): Promise<void> {
  const { questions, log, keyOf, onAnswered } = request;
  const open = questions.filter(({ id }) => !log.answers.has(id));
  let done = questions.length - open.length;
  const refusals = new Refusals();
  const kept = questions.find(({ id }) => log.answers.has(id));
  if (kept !== undefined) refusals.noteAnswer(requestOf(kept, [], request), { isKept: true });
  const refused: [Question, EndpointError][] = [];
  await forEachAtOnce(open, concurrency, async (question) => {
    try {
      await askQuestion(endpoint, question, { ...request, refusals });
    } catch (error) {
      if (!isRefusal(error)) throw error;
      refused.push([question, error]);
      const ofAll = await refusals.noteRefusal(endpoint, error);
      if (ofAll !== null) throw placed(question, ofAll);
    }
    onAnswered(++done, questions.length);
  });
  const [first] = refused;
  if (first === undefined) return;
  const said = placed(...first);
  if (log.answers.size === 0) throw said;
  for (const [question, { message }] of refused) log.addRefused(question.id, keyOf(question), message);
  warn(`${endpoint.model}: ${leftOut(refused.length)}; the first: ${said.message}`);
}

/** So many questions that an endpoint refused, in words. */
export function leftOut(count: number): string {
  return `${count} ${count === 1 ? "question was refused and is" : "questions were refused and are"} left out`;
}

/** The answers to a question's turns, added to the log. */
async function askQuestion(
  endpoint: Endpoint,
  question: Question,
  asked: AnswerRequest & { refusals: Refusals },
): Promise<void> {
  const { log, keyOf, refusals } = asked;
  const first = log.firstTurns(question.id);
  const turns = [...first.turns];
  let { cut } = first;
  while (turns.length <= question.followUps.length) {
    const request = requestOf(question, turns, asked);
    const reply = await endpoint.chat(request);
    refusals.noteAnswer(request);
    if (reply.finishReason === "length") cut++;
    turns.push(reply.text);
    if (turns.length <= question.followUps.length) log.keep(question.id, keyOf(question), { turns, cut });
  }
  log.add(question.id, keyOf(question), { turns, cut });
}

/** What is asked for the turn after `turns`. */
function requestOf(
  question: Question,
  turns: readonly string[],
  { temperatureOf, maxTokens }: AnswerRequest,
): ChatRequest {
  return { messages: conversation(question, turns), temperature: temperatureOf(question), maxTokens };
}

/** A refusal with the question's place and what may help. */
function placed({ where }: Question, { message, status }: EndpointError): EndpointError {
  const remedy = remedyOf(message, { extra: "--answer-extra", maxTokens: "--max-new-tokens" });
  return new EndpointError(`${where}: ${message}${remedy}`, status);
}
