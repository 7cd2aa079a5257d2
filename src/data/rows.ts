/**
 * What each row means. Its form is decided by the row alone, never by the first row of its file:
 * token ids, pairs with a prompt column or without one, conversational or plain, HH transcripts, `messages`,
 * prompt and completion, running text, and the forms of other trainers (docs/data.md has the table).
 */
import { isDeepStrictEqual } from "node:util";

import { DataError } from "../base/errors.ts";
import { numberInText, numberOf } from "../text/json-number.ts";
import { contentText } from "../text/message-text.ts";
import type { Message } from "../text/messages.ts";
import { EmptyAnswerError, type SourceRow } from "../text/source-rows.ts";
import { type Answer, pairAnswers, supervisedAnswer } from "./answer-columns.ts";
import { type ColumnMap, type ColumnName, type ColumnUse, MissingColumns, RowColumns } from "./columns.ts";
import { userMessage, withSystem } from "./conversations.ts";
import type { Origin, RawRow, RewardRow } from "./example.ts";
import { type FeedbackRow, feedbackRow } from "./feedback-forms.ts";
import { ratingOf, requireLabel } from "./labels.ts";
import { mappingHint } from "./mapping-hint.ts";
import {
  conversationColumns,
  hasPrompt,
  type RowPrompt,
  readAnswer,
  readPrompt,
  readSystem,
  readTextOrMessages,
  refuseNamelessPrompt,
} from "./prompt-columns.ts";
import { readPromptRow } from "./prompt-rows.ts";
import { type ChatParts, splitConversations, splitExplicit, splitStrings } from "./prompts.ts";
import { templateInputs } from "./template-columns.ts";
import { isTokenised, readTokenised, type TokenisedContent } from "./tokenised.ts";
import { isTranscript, splitTranscripts } from "./transcript.ts";
import { refuseLabelledBad, refuseOtherMedia, refuseUnpaired } from "./unpaired.ts";

/**
 * What rows are read for. A pair read for "sft" gives its chosen answer, one read for "reward" its margin too, one read for
 * "prompt" its prompt and, apart, its chosen answer. Rows read as "labelled" have one answer and say whether it is good.
 */
export type Task = "preference" | "sft" | "reward" | "prompt" | "labelled";

/** A row understood: text to encode (`source`) or token ids (`tokens`), exactly one of them. */
export interface NormalRow {
  origin: Origin;
  source: SourceRow | null;
  tokens: TokenisedContent | null;
  /** Reference sums of log-probs, [chosen, rejected], where the row brings both. */
  referenceLogps: number[] | null;
  /** The row's `margin`, where it is read for a reward model and the row has one. */
  margin?: number;
  /** Whether the answer is a good one, of a row read as "labelled"; left out for a pair that is to be split. */
  label?: boolean;
  /** How the answer was rated, where the label follows from that. */
  rating?: number;
  columns: ColumnUse;
  /** What rewards are given of a row read for "prompt". */
  reward?: RewardRow;
}

/** How rows are read. */
export interface RowOptions {
  task: Task;
  columns?: ColumnMap;
  /**
   * What prompts and answers are that come as plain strings: "text" leaves them as they are, "chat" makes them one user's
   * and one assistant's message for the chat template. Default: "text", but an answer that holds messages as JSON is read as those.
   */
  strings?: "text" | "chat";
  /** Whether the user can set `strings`, as plain_strings: errors name it. Default: they do not. */
  mayTakeText?: boolean;
  /** Whether pairs may be read as "labelled": both answers, which are to be split. Default: they are refused. */
  unpair?: boolean;
  /** Ratings from there on are good. Null (default): they say nothing. */
  rating_threshold?: number | null;
}

/**
 * The meaning of `row`.
 *
 * @throws DataError naming file, line and the columns found when the row has no form that fits the task
 */
export function normaliseRow(row: RawRow, options: RowOptions): NormalRow {
  try {
    return readRow(row, options);
  } catch (error) {
    if (!(error instanceof MissingColumns)) throw error;
    const { columns = {} } = options;
    const task = isPairTask(options.task) ? "preference" : "sft";
    if (task === "preference") refuseUnpaired(row);
    const reads = (map: ColumnMap): boolean => canRead(row, { ...options, columns: map });
    const message = `${error.message}${mappingHint(row, { task, columns }, reads)}`;
    throw new DataError(message, { proposesColumns: true });
  }
}

function isPairTask(task: Task): boolean {
  return task === "preference" || task === "reward";
}

function canRead(row: RawRow, options: RowOptions): boolean {
  try {
    readRow(row, options);
    return true;
  } catch (error) {
    if (error instanceof DataError) return false;
    throw error;
  }
}

function readRow(given: RawRow, options: RowOptions): NormalRow {
  const feedback = takesLabels(options.task) ? feedbackRow(given) : null;
  const row = feedback ?? given;
  const columns = new RowColumns(row, options.columns ?? {}, options);
  refuseOtherMedia(columns);
  const read =
    options.task === "labelled" ? readLabelled(columns, row, options) : readOther(columns, row, options);
  return { ...read, columns: read.columns ?? usedOf(columns, given, feedback) };
}

/** A row; `columns` where they are not those that were read. */
type RowRead = Omit<NormalRow, "columns"> & Partial<Pick<NormalRow, "columns">>;

function readOther(columns: RowColumns, row: RawRow, options: RowOptions): RowRead {
  const isPair = isPairTask(options.task);
  const referenceLogps = options.task === "preference" ? readReference(columns) : null;
  const margin = options.task === "reward" ? readMargin(columns) : null;
  const read = { origin: row.origin, referenceLogps, ...(margin === null ? {} : { margin }) };
  const threshold = isPair ? null : (options.rating_threshold ?? null);
  if (isTokenised(columns) && options.task !== "prompt") {
    refuseLabelledBad(columns, threshold);
    const tokens = readTokenised(columns, isPair ? "preference" : "sft");
    return { ...read, source: null, tokens };
  }
  const { strings = "text" } = options;
  if (options.task === "prompt") {
    // whatever else the row has goes to the rewards
    const use = { used: columns.names, passedOver: [], doubtful: [] };
    return { ...read, tokens: null, ...readPromptRow(columns, row.value, strings), columns: use };
  }
  const parts = isPair ? split(columns, pairAnswers(columns), strings) : readSupervised(columns, strings);
  // A text alone may have a label of any kind.
  if (parts.kind !== "plain") refuseLabelledBad(columns, threshold);
  checkAnswers(parts, columns.where);
  const source = asSource(parts, columns);
  return { ...read, source, tokens: null };
}

/** Whether rows that people have marked in an application are read, not only those of a data set. */
function takesLabels(task: Task): boolean {
  return task === "labelled" || task === "sft";
}

/** What became of the columns of the file's row: of one that was put into another form, those that it was made of. */
function usedOf(columns: RowColumns, given: RawRow, feedback: FeedbackRow | null): ColumnUse {
  if (feedback === null) return columns.use();
  const names = Object.keys(given.value);
  const used = names.filter((name) => feedback.from.includes(name));
  return { used, passedOver: names.filter((name) => !used.includes(name)), doubtful: [] };
}

/** One answer with its label; or, where pairs are to be split, the two answers of a pair. */
function readLabelled(
  columns: RowColumns,
  { origin }: RawRow,
  { unpair = false, rating_threshold = null, strings = "text" }: RowOptions,
): RowRead {
  const isPair = hasPair(columns);
  if (isPair && !unpair) {
    throw columns.missing(
      `one answer ("completion") and its "label", not a pair; unpair: true splits pairs into a good and a bad answer`,
    );
  }
  const label = isPair ? {} : labelled(columns, rating_threshold);
  const read = { origin, referenceLogps: null, ...label };
  if (isTokenised(columns)) {
    return { ...read, source: null, tokens: readTokenised(columns, isPair ? "preference" : "sft") };
  }
  const parts = isPair ? split(columns, pairAnswers(columns), strings) : readOneAnswer(columns, strings);
  checkAnswers(parts, columns.where);
  return { ...read, source: asSource(parts, columns), tokens: null };
}

function labelled(columns: RowColumns, threshold: number | null): Pick<NormalRow, "label" | "rating"> {
  const label = requireLabel(columns, threshold);
  const rating = ratingOf(columns);
  return { label, ...(rating === null ? {} : { rating }) };
}

function hasPair(columns: RowColumns): boolean {
  const has = (chosen: ColumnName, rejected: ColumnName) => columns.has(chosen) && columns.has(rejected);
  return has("chosen", "rejected") || has("chosen_ids", "rejected_ids");
}

/** A prompt and one answer: of a conversation its last assistant turn. */
function readOneAnswer(columns: RowColumns, strings: "text" | "chat"): Parts {
  const parts = readSupervised(columns, strings);
  if (parts.kind === "conversation") {
    return { kind: "chat", ...splitConversations([parts.messages], columns.where) };
  }
  if (parts.kind === "plain")
    throw columns.missing(`"prompt" and "completion", or "messages", beside the label`);
  return parts;
}

/** A row's text before tools and file name are added. */
type Parts =
  | ({ kind: "chat" } & ChatParts)
  | { kind: "conversation"; messages: Message[] }
  | { kind: "text"; prompt: string; completions: string[] }
  | { kind: "plain"; text: string };

function readSupervised(columns: RowColumns, strings: "text" | "chat"): Parts {
  const conversation = conversationColumns.find((name) => columns.has(name));
  const hasAnswer = columns.has("chosen") || columns.has("completion");
  if (conversation !== undefined && (!hasAnswer || isInMessages(columns))) {
    columns.leave("rejected");
    const messages = readTextOrMessages(columns, conversation);
    if (typeof messages === "string") throw columns.wrongType(conversation, "a list of messages");
    return { kind: "conversation", messages: withSystem(messages, readSystem(columns), columns.where) };
  }
  const answer = supervisedAnswer(columns);
  if (answer !== null) return split(columns, [answer], strings);
  if (columns.has("chosen")) return readChosen(columns, strings);
  const text = columns.get("text");
  if (typeof text === "string") return { kind: "plain", text };
  if (text !== undefined) throw columns.wrongType("text", "a string");
  throw columns.missing(
    `"messages", "prompt" and "completion", "text", "chosen", or "prompt_ids" and "completion_ids"`,
  );
}

/** The chosen answer of a pair; the rejected one is looked at only where their common beginning is the prompt. */
function readChosen(columns: RowColumns, strings: "text" | "chat"): Parts {
  const chosen = readAnswer(columns, "chosen");
  columns.leave("rejected");
  const isAlone = hasPrompt(columns) || !columns.has("rejected");
  const answers = isAlone ? [chosen] : [chosen, readAnswer(columns, "rejected")];
  const parts = split(columns, answers, strings);
  if (parts.kind === "chat") return { ...parts, completions: parts.completions.slice(0, 1) };
  return parts.kind === "text" ? { ...parts, completions: parts.completions.slice(0, 1) } : parts;
}

/** True when `messages` is the chosen conversation, as in UltraFeedback, and not a prompt to it. */
function isInMessages(columns: RowColumns): boolean {
  return conversationColumns.some(
    (name) => columns.has(name) && isDeepStrictEqual(columns.peek(name), columns.peek("chosen")),
  );
}

function split(columns: RowColumns, answers: readonly Answer[], strings: "text" | "chat"): Parts {
  const { where } = columns;
  if (!columns.has("prompt") && isInMessages(columns)) return splitUnprompted(columns, answers, strings);
  const prompt = readPrompt(columns);
  if (prompt === null) return splitUnprompted(columns, answers, strings);
  const texts = answers.filter((answer) => typeof answer === "string");
  if (prompt.kind === "text" && texts.length === answers.length && strings === "text") {
    return { kind: "text", prompt: prompt.text, completions: texts };
  }
  return { kind: "chat", ...splitExplicit(askedIn(prompt, answers, where), answers, where) };
}

/**
 * The messages of the prompt. An assistant's message is a complete turn where a whole conversation's column holds it: at its end it is
 * one of the answers, said twice.
 *
 * @throws DataError when it is another
 */
function askedIn(prompt: RowPrompt, answers: readonly Answer[], where: string): Message[] {
  if (prompt.kind === "text") return [userMessage(prompt.text)];
  const { messages, isConversation } = prompt;
  const last = messages.at(-1);
  if (!isConversation || last?.role !== "assistant") return messages;
  const isLast = (answer: Answer): boolean =>
    typeof answer === "string" ? contentText(last) === answer : isDeepStrictEqual(last, answer.at(-1));
  if (answers.some(isLast)) return messages.slice(0, -1);
  throw new DataError(
    `${where}: expected messages that end with the question, since the row has its answers beside them, got a message of the role ` +
      `assistant at their end that is none of these. Take it out; the beginning of an answer belongs in a column "prompt".`,
  );
}

/** Answers that hold their prompt: conversations, transcripts, or texts that begin alike. */
function splitUnprompted(columns: RowColumns, answers: readonly Answer[], strings: "text" | "chat"): Parts {
  const { where } = columns;
  const system = readSystem(columns);
  const conversations = answers.filter((answer) => typeof answer !== "string");
  if (conversations.length === answers.length) {
    const { prompt, completions } = splitConversations(conversations, where);
    return { kind: "chat", prompt: withSystem(prompt, system, where), completions };
  }
  if (conversations.length > 0) {
    throw new DataError(
      `${where}: expected both answers to be strings or both lists of messages. Fix the row.`,
    );
  }
  const texts = answers.filter((answer) => typeof answer === "string");
  const [chosen = "", rejected = chosen] = texts;
  if (isTranscript(chosen) && isTranscript(rejected)) {
    const pair = splitTranscripts(chosen, rejected, where);
    const completions = [pair.chosen, pair.rejected].slice(0, texts.length);
    return { kind: "chat", prompt: withSystem(pair.prompt, system, where), completions };
  }
  if (texts.length === 1) throw columns.missing(`"prompt" beside a single answer of plain text`);
  refuseNamelessPrompt(columns, strings);
  return { kind: "text", ...splitStrings(texts, where) };
}

function readReference(columns: RowColumns): number[] | null {
  const names = ["ref_chosen_logps", "ref_rejected_logps"] as const;
  const present = names.filter((name) => columns.has(name));
  if (present.length === 0) return null;
  if (present.length === 1) throw columns.missing(`"ref_chosen_logps" and "ref_rejected_logps" together`);
  return names.map((name) => readFinite(columns, name, "sum of log-probabilities over the answer"));
}

function readMargin(columns: RowColumns): number | null {
  if (!columns.has("margin")) return null;
  return readFinite(columns, "margin", "by how much the chosen answer is the better one");
}

/** @param meaning - of the number, for whoever gave something else */
function readFinite(columns: RowColumns, name: ColumnName, meaning: string): number {
  const value = columns.get(name);
  const number = columns.isText && typeof value === "string" ? numberInText(value) : numberOf(value);
  if (number !== null && Number.isFinite(number)) return number;
  throw columns.wrongType(name, `a finite number (${meaning})`);
}

/** An answer of nothing but white space teaches the model to say nothing. */
function checkAnswers(parts: Parts, where: string): void {
  if (!("completions" in parts)) return;
  for (const [index, completion] of parts.completions.entries()) {
    if (typeof completion !== "string") refuseWeights(completion, where);
    if (!isBlank(completion)) continue;
    throw new EmptyAnswerError(
      `${where}: expected answer ${index + 1} of ${parts.completions.length} to have text, but it is empty. Remove the row.`,
    );
  }
}

/** In an answer every assistant's message is learned: a weight of 0 could not be honoured. */
function refuseWeights(completion: readonly Message[], where: string): void {
  if (!completion.some(({ weight }) => weight === 0)) return;
  throw new DataError(
    `${where}: expected every assistant's message of an answer to count in the loss, got one that says it does not ` +
      `("weight": 0 or "train": false). Put it into the prompt, or remove the row.`,
  );
}

function isBlank(completion: string | Message[]): boolean {
  if (typeof completion === "string") return completion.trim() === "";
  return completion.every(
    ({ content, tool_calls, reasoning_content }) =>
      tool_calls === undefined &&
      (reasoning_content ?? "").trim() === "" &&
      (typeof content === "string" ? content : content.map(({ text }) => text).join("")).trim() === "",
  );
}

function asSource(parts: Parts, columns: RowColumns): SourceRow {
  const { where } = columns;
  if (parts.kind === "text" || parts.kind === "plain") return { ...parts, where };
  return { ...parts, where, ...templateInputs(columns) };
}
