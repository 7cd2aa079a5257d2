/**
 * The assistant's turns in a rendered conversation, and the mask over tokens that follows from them.
 *
 * Where the template marks what the assistant wrote (`{% generation %}`), the marks decide, as in transformers'
 * `return_assistant_tokens_mask`. Elsewhere a turn is found by rendering the messages before it, with the generation
 * prompt, and the messages up to its end.
 */
import { DataError } from "../base/errors.ts";
import { commonPrefixLength, describeDifference } from "./boundary.ts";
import type { ChatFormat } from "./chat-format.ts";
import type { TextSpan } from "./generation-marks.ts";
import { contentText } from "./message-text.ts";
import type { Message } from "./messages.ts";
import { EmptyAnswerError, type EncodeNote } from "./source-rows.ts";
import type { Rendering, RenderRequest } from "./template.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** What rows of one template share. */
export interface ChatContext {
  tokenizer: Tokenizer;
  format: ChatFormat;
  /** Whether the template marks what the assistant wrote. */
  hasMarks: boolean;
  /** False: all messages of an answer count in the loss, a tool's too, as in TRL's DPO. */
  maskToolOutput: boolean;
  /** Template variables of every row, such as `enable_thinking`. */
  variables: Readonly<Record<string, unknown>>;
}

/** A rendering that a row needs. */
export interface RowRequest extends RenderRequest {
  /** In the renderings of whole conversations: the first message whose thinking is learned. All they hold has to be written. */
  learnedFrom?: number;
  /** See `ChatRow`. */
  mayDropAnsweredCalls?: boolean;
}

const emptyThinking = /^\s*<think>\s*<\/think>/;
const thinkStart = "<think>";

/** Assistant turns to find in a conversation. */
export interface TurnSearch {
  where: string;
  messages: readonly Message[];
  /** Positions of the turns in `messages`. */
  turns: readonly number[];
  /** What to do when they cannot be found, to end the error with. */
  remedy: string;
}

/** The renderings that `turnSpans` needs, two for each turn: up to its beginning and up to its end. */
export function turnRequests(
  { messages, turns }: Pick<TurnSearch, "messages" | "turns">,
  common: Pick<RenderRequest, "tools" | "variables">,
): RenderRequest[] {
  return turns.flatMap((turn) => [
    { ...common, messages: messages.slice(0, turn), addGenerationPrompt: true },
    { ...common, messages: messages.slice(0, turn + 1), addGenerationPrompt: false },
  ]);
}

/**
 * Characters of `whole` that each turn takes up, its end-of-turn token included.
 *
 * @param whole - the rendered conversation up to the end of its last turn
 * @throws DataError when the template writes the messages before a turn differently from the whole conversation
 */
export function turnSpans(
  whole: string,
  search: TurnSearch,
  rendered: readonly Rendering[],
  { context, notes }: { context: ChatContext; notes: Set<EncodeNote> },
): TextSpan[] {
  const starts = search.turns.map((turn, i) =>
    turnStart(
      { whole, opening: opening(rendered[2 * i]?.text ?? "", context.format), search, turn },
      context,
    ),
  );
  return search.turns.map((turn, i): TextSpan => {
    const start = starts[i] ?? 0;
    const next = starts[i + 1];
    const closing = rendered[1 + 2 * i]?.text ?? "";
    const isLast = turn === search.messages.length - 1;
    const end = isLast ? whole.length : turnEnd({ whole, closing, start }, context, notes);
    if (end === null || end > (next ?? whole.length)) throw endless(search, turn);
    noteEmptyThinking(whole, [{ start, end }], search.messages.slice(turn, turn + 1), notes);
    return { start, end };
  });
}

/** What the assistant's turn begins behind: the rendered prompt, with the header that some templates leave to the answer. */
export function opening(prompt: string, { header }: ChatFormat): string {
  return prompt + header;
}

function endless({ where, remedy }: TurnSearch, turn: number): DataError {
  return new DataError(
    `${where}: expected the chat template to end assistant turn ${turn + 1} with a token, but none was found. ` +
      `${remedy}, or use a template that ends every turn with a control token.`,
  );
}

/** Where the turn's own text begins: after the generation prompt, or after what turns keep of it. */
function turnStart(
  {
    whole,
    opening: before,
    search,
    turn,
  }: { whole: string; opening: string; search: TurnSearch; turn: number },
  { format }: ChatContext,
): number {
  const shared = commonPrefixLength(whole, before);
  if (shared === before.length) return shared;
  const { generationPrompt, appendsGenerationPrompt, keptPrompt } = format;
  const asked = before.length - generationPrompt.length;
  if (appendsGenerationPrompt && before.endsWith(generationPrompt) && shared >= asked)
    // What else the two share is an answer that begins as the rest of the generation prompt does.
    return Math.min(shared, asked + keptPrompt);
  throw new DataError(
    `${search.where}: expected the chat template to write the messages before assistant turn ${turn + 1} the same way in ` +
      `the whole conversation, but ${describeDifference(before, whole)}. ` +
      `${search.remedy}, or use a template that does not rewrite earlier turns.`,
  );
}

/** Where the turn ends: after the token that ends it. Null when the template writes none that can be found. */
function turnEnd(
  { whole, closing, start }: { whole: string; closing: string; start: number },
  context: ChatContext,
  notes: Set<EncodeNote>,
): number | null {
  const { format, tokenizer } = context;
  const hasTail = closing.endsWith(format.tail);
  if (!format.writesEndOfTurn) {
    const bare = closing.slice(0, closing.length - format.tail.length);
    return hasTail && whole.startsWith(bare) ? bare.length : null;
  }
  // A turn that calls a tool may end with a special token for tool calls.
  const ended = hasTail ? endAtTerminator(closing, 0, context, new Set()) : closing.trimEnd();
  if (ended.length > start && whole.startsWith(ended)) return ended.length;
  notes.add("turn_rewritten");
  const stop = hasTail ? format.endOfTurn : lastToken(closing.trimEnd(), tokenizer);
  const at = stop === null ? -1 : whole.indexOf(stop, start);
  return stop === null || at < 0 ? null : at + stop.length;
}

/** The added token that `text` ends with; of several the longest. */
function lastToken(text: string, { addedTokens }: Tokenizer): string | null {
  const ending = addedTokens
    .map(({ text: token }) => token)
    .filter((token) => token !== "" && text.endsWith(token));
  return ending.reduce<string | null>(
    (best, token) => (token.length > (best?.length ?? 0) ? token : best),
    null,
  );
}

/**
 * The marked parts of `text` with the tokens that end them: the policy has to learn to stop, whether or not the
 * template's author put the end of a turn inside the marks.
 *
 * @param text - a rendering, perhaps cut or with a terminator added at its end
 */
export function markedSpans(
  text: string,
  marked: readonly TextSpan[],
  format: ChatFormat,
  notes: Set<EncodeNote>,
): TextSpan[] {
  return joined(marked)
    .filter(({ start }) => start < text.length)
    .map(({ start, end }): TextSpan => {
      const last = Math.min(end, text.length);
      const stop = format.stopTexts.find((token) => text.startsWith(token, last));
      if (stop === undefined) return { start, end: last };
      notes.add("end_of_turn_unmarked");
      return { start, end: last + stop.length };
    });
}

/** Spans that touch as one: templates mark thinking, calls and the end of one turn apart. */
function joined(spans: readonly TextSpan[]): TextSpan[] {
  const all: TextSpan[] = [];
  for (const { start, end } of spans) {
    const last = all.at(-1);
    if (last !== undefined && start <= last.end) last.end = Math.max(last.end, end);
    else all.push({ start, end });
  }
  return all;
}

/**
 * Makes sure that every turn teaches more than to stop.
 *
 * @param options.hasMarks - whether `spans` are the marked parts of turns; false: whole turns
 * @param options.what - the beginning of the message
 * @throws EmptyAnswerError when all that is learned of a turn is white space, an empty thinking block and its end
 */
export function checkSaysSomething(
  text: string,
  spans: readonly TextSpan[],
  { format, hasMarks, what }: { format: ChatFormat; hasMarks: boolean; what: string },
): void {
  const turns = hasMarks
    ? markedTurns(text, spans, format)
    : spans.map(({ start, end }) => withBegunThinking(text, start, end));
  for (const [i, turn] of turns.entries()) {
    if (!isSilent(turn, format)) continue;
    const named = turns.length === 1 ? what : `${what}, turn ${i + 1} of ${turns.length},`;
    throw new EmptyAnswerError(
      `${named} to have text, but all that is learned of it is how to stop. Remove the row, or write the turn.`,
    );
  }
}

/**
 * The marked text of each turn. A template may mark the parts of one turn apart, its thinking and its end among them, so that a turn is
 * all spans up to one that ends with a token that ends turns.
 */
function markedTurns(text: string, spans: readonly TextSpan[], format: ChatFormat): string[] {
  const turns = [""];
  for (const { start, end } of spans) {
    turns[turns.length - 1] +=
      turns.at(-1) === "" ? withBegunThinking(text, start, end) : text.slice(start, end);
    if (endingStop(turns.at(-1)?.trimEnd() ?? "", format) !== undefined) turns.push("");
  }
  if (turns.at(-1)?.trim() === "" && turns.length > 1) turns.pop();
  return turns;
}

function isSilent(turn: string, format: ChatFormat): boolean {
  let rest = turn.trim();
  for (let stop = endingStop(rest, format); stop !== undefined; stop = endingStop(rest, format)) {
    rest = rest.slice(0, rest.length - stop.length).trimEnd();
  }
  const said = rest.replace(emptyThinking, "").trim();
  return said === "" || said === thinkStart;
}

function endingStop(text: string, { stopTexts }: ChatFormat): string | undefined {
  return stopTexts.find((stop) => text.endsWith(stop));
}

/** Which tokens of `ids` stand for the characters in `spans`, as 0 and 1, and what the tokens' borders moved. */
export interface LearnedTokens {
  mask: number[];
  /** Index of the first learned token; the number of tokens when there is none. */
  first: number;
  /** Tokens of the text before the first span, by itself. */
  before: number[];
  /** Tokens from before a span that merge with its beginning and count in it. */
  moved: number;
}

/**
 * The tokens of `whole` that stand for characters of `spans`; a token that a span shares with the text before it counts.
 *
 * @param encode - gives the tokens of a beginning of `whole` as they are in it, but for the last few
 */
export function learnedTokens(
  whole: string,
  ids: readonly number[],
  spans: readonly TextSpan[],
  encode: (text: string) => number[],
): LearnedTokens {
  const mask = new Array<number>(ids.length).fill(0);
  let moved = 0;
  let first = ids.length;
  let beforeFirst = [...ids];
  for (const { start, end } of spans) {
    const before = encode(whole.slice(0, start));
    const from = commonPrefixLength(before, ids as number[]);
    if (from < first) beforeFirst = before;
    const to = end === whole.length ? ids.length : encode(whole.slice(0, end)).length;
    moved += before.length - from;
    first = Math.min(first, from);
    mask.fill(1, from, to);
  }
  return { mask, first, before: beforeFirst, moved };
}

/** `text` cut after the token that ends its last turn; the token is added where the template writes none. */
export function endAtTerminator(
  text: string,
  answerStart: number,
  { format }: Pick<ChatContext, "format">,
  notes: Set<EncodeNote>,
): string {
  if (text.endsWith(format.tail) && text.length - format.tail.length >= answerStart) {
    const cut = text.slice(0, text.length - format.trailer.length);
    if (format.writesEndOfTurn) return cut;
    notes.add("end_of_turn_added");
    return cut + format.endOfTurn;
  }
  let end = -1;
  for (const stop of format.stopTexts) {
    const at = text.lastIndexOf(stop);
    if (at >= answerStart) end = Math.max(end, at + stop.length);
  }
  if (end >= 0) return text.slice(0, end);
  notes.add("end_of_turn_added");
  return text + format.endOfTurn;
}

/** What is learned from `start` to `end`, behind the `<think>` that a generation prompt may have begun it with. */
function withBegunThinking(text: string, start: number, end: number): string {
  const isBegun = text.slice(0, start).trimEnd().endsWith(thinkStart);
  return (isBegun ? thinkStart : "") + text.slice(start, end);
}

/** Adds a note when one of `spans` begins with an empty thinking block that none of `messages` has: the template made it up. */
export function noteEmptyThinking(
  text: string,
  spans: readonly TextSpan[],
  messages: readonly Message[],
  notes: Set<EncodeNote>,
): void {
  const isOwn = messages.some((message) => contentText(message).includes("</think>"));
  const isEmpty = ({ start, end }: TextSpan) => emptyThinking.test(withBegunThinking(text, start, end));
  if (!isOwn && spans.some(isEmpty)) notes.add("empty_thinking_in_answer");
}
