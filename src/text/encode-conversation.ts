/**
 * Token ids of whole conversations for supervised training: every assistant turn counts in the loss, the rest is masked.
 *
 * The conversation is rendered and tokenised once. Each assistant turn is found in it by rendering the messages
 * before the turn, with the generation prompt, and the messages up to its end.
 */
import { DataError } from "../base/errors.ts";
import { commonPrefixLength, describeDifference } from "./boundary.ts";
import { type ChatContext, endAtTerminator, noteEmptyThinking } from "./encode-chat.ts";
import { withoutDoubleBos } from "./encode-plain.ts";
import type { Message } from "./messages.ts";
import type { ChatRow, ConversationRow, EncodedRow, EncodeNote } from "./rows.ts";
import type { RenderRequest } from "./template.ts";

/** A conversation cut after its last assistant turn, and which of its turns are learned. */
export interface ConversationPlan {
  row: ConversationRow;
  messages: readonly Message[];
  /** Positions of the assistant turns in `messages`. */
  turns: number[];
  notes: EncodeNote[];
}

/**
 * Which turns of `row` are learned.
 *
 * @throws DataError when no assistant turn has a prompt before it
 */
export function planConversation(row: ConversationRow): ConversationPlan {
  const notes: EncodeNote[] = [];
  const turns = row.messages.flatMap((message, i) => (message.role === "assistant" ? [i] : []));
  if (turns[0] === 0) {
    turns.shift();
    notes.push("leading_assistant_skipped");
  }
  const last = turns.at(-1);
  if (last === undefined) {
    throw new DataError(
      `${row.where}: expected a conversation with an assistant message after the first message. ` +
        `There is nothing to learn from this row: remove it.`,
    );
  }
  if (last < row.messages.length - 1) notes.push("trailing_messages_dropped");
  return { row, messages: row.messages.slice(0, last + 1), turns, notes };
}

/** The conversation as a prompt and its last assistant turn (`train_on: "last"`). */
export function lastTurnAsChat({ row, messages }: ConversationPlan): ChatRow {
  return { ...row, kind: "chat", prompt: messages.slice(0, -1), completions: [messages.slice(-1)] };
}

/** The renderings that `finishConversation` needs: the whole, then beginning and end of each learned turn. */
export function conversationRequests(plan: ConversationPlan, context: ChatContext): RenderRequest[] {
  const { row, messages } = plan;
  const common = { tools: row.tools ?? null, variables: { ...context.variables, ...row.variables } };
  return [
    { ...common, messages, addGenerationPrompt: false },
    ...plan.turns.flatMap((turn) => [
      { ...common, messages: messages.slice(0, turn), addGenerationPrompt: true },
      { ...common, messages: messages.slice(0, turn + 1), addGenerationPrompt: false },
    ]),
  ];
}

/** An assistant turn's place in the rendered conversation, in characters. */
interface Span {
  start: number;
  end: number;
}

/**
 * The conversation's token ids from its renderings: the prompt is all before the first learned turn.
 *
 * @throws DataError when the template writes the messages before a turn differently from the whole conversation
 */
export function finishConversation(
  plan: ConversationPlan,
  rendered: readonly string[],
  context: ChatContext,
): EncodedRow {
  const notes = new Set<EncodeNote>(plan.notes);
  const whole = endAtTerminator(rendered[0] ?? "", 0, context, notes);
  const starts = plan.turns.map((turn, i) =>
    turnStart({ whole, opening: rendered[1 + 2 * i] ?? "", where: plan.row.where, turn }, context),
  );
  const spans = plan.turns.map((turn, i): Span => {
    const start = starts[i] ?? 0;
    const next = starts[i + 1];
    const closing = rendered[2 + 2 * i] ?? "";
    const end = next === undefined ? whole.length : turnEnd({ whole, closing, start }, context, notes);
    if (end === null || end > (next ?? end)) throw endless(plan.row.where, turn);
    noteEmptyThinking(whole.slice(start, end), plan.messages[turn], notes);
    return { start, end };
  });
  return assemble(whole, spans, context, notes);
}

function endless(where: string, turn: number): DataError {
  return new DataError(
    `${where}: expected the chat template to end assistant turn ${turn + 1} with a token, but none was found. ` +
      `Set train_on to "last", or use a template that ends every turn with a control token.`,
  );
}

/** Where the turn's own text begins: after the generation prompt, or after what the whole shares with it. */
function turnStart(
  { whole, opening, where, turn }: { whole: string; opening: string; where: string; turn: number },
  { format }: ChatContext,
): number {
  const shared = commonPrefixLength(whole, opening);
  if (shared === opening.length) return shared;
  const { generationPrompt, appendsGenerationPrompt } = format;
  const before = opening.length - generationPrompt.length;
  if (appendsGenerationPrompt && opening.endsWith(generationPrompt) && shared >= before) return shared;
  throw new DataError(
    `${where}: expected the chat template to write the messages before assistant turn ${turn + 1} the same way in ` +
      `the whole conversation, but ${describeDifference(opening, whole)}. ` +
      `Set train_on to "last", or use a template that does not rewrite earlier turns.`,
  );
}

/** Where the turn ends: after its end-of-turn token. Null when the template writes none that can be found. */
function turnEnd(
  { whole, closing, start }: { whole: string; closing: string; start: number },
  context: ChatContext,
  notes: Set<EncodeNote>,
): number | null {
  const { format } = context;
  if (!format.writesEndOfTurn) {
    const bare = closing.slice(0, closing.length - format.tail.length);
    return closing.endsWith(format.tail) && whole.startsWith(bare) ? bare.length : null;
  }
  const ended = endAtTerminator(closing, 0, context, new Set());
  if (ended.length > start && whole.startsWith(ended)) return ended.length;
  notes.add("turn_rewritten");
  const at = whole.indexOf(format.endOfTurn, start);
  return at < 0 ? null : at + format.endOfTurn.length;
}

/** Tokenises the whole once and masks all but the spans. */
function assemble(whole: string, spans: Span[], context: ChatContext, notes: Set<EncodeNote>): EncodedRow {
  const { tokenizer } = context;
  const encode = (text: string): number[] =>
    withoutDoubleBos(tokenizer.encode(text, { addSpecialTokens: false }), tokenizer, notes);
  const ids = encode(whole);
  const mask = new Array<number>(ids.length).fill(0);
  let moved = 0;
  let first = ids.length;
  for (const { start, end } of spans) {
    const before = encode(whole.slice(0, start));
    const from = commonPrefixLength(before, ids);
    const to = end === whole.length ? ids.length : encode(whole.slice(0, end)).length;
    moved += before.length - from;
    first = Math.min(first, from);
    mask.fill(1, from, to);
  }
  if (moved > 0) notes.add("boundary_moved");
  return {
    promptIds: ids.slice(0, first),
    completions: [{ ids: ids.slice(first), mask: mask.slice(first) }],
    boundaryMoved: moved,
    notes: [...notes],
  };
}
