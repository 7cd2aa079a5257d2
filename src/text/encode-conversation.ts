/**
 * Token ids of whole conversations for supervised training: every assistant turn counts in the loss, the rest is masked.
 *
 * The conversation is rendered and tokenised once; its turns are found in the rendering (encode-turns.ts).
 */
import { DataError } from "../base/errors.ts";
import { aloneOf } from "./boundary.ts";
import { withoutDoubleBos } from "./encode-plain.ts";
import {
  type ChatContext,
  checkSaysSomething,
  endAtTerminator,
  learnedTokens,
  markedSpans,
  noteEmptyThinking,
  type RowRequest,
  turnRequests,
  turnSpans,
} from "./encode-turns.ts";
import type { TextSpan } from "./generation-marks.ts";
import type { Message } from "./messages.ts";
import type { ChatRow, ConversationRow, EncodedRow, EncodeNote } from "./source-rows.ts";
import type { Rendering } from "./template.ts";

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
  const isLearned = ({ role, weight }: Message): boolean => role === "assistant" && weight !== 0;
  const turns = row.messages.flatMap((message, i) => (isLearned(message) ? [i] : []));
  if (turns[0] === 0) {
    turns.shift();
    notes.push("leading_assistant_skipped");
  }
  const last = row.messages.findLastIndex(({ role }) => role === "assistant");
  if (turns.length === 0) {
    throw new DataError(
      `${row.where}: expected a conversation with an assistant message after the first message, and one that does not ` +
        `say "weight": 0. There is nothing to learn from this row: remove it.`,
    );
  }
  if (last < row.messages.length - 1) notes.push("trailing_messages_dropped");
  return { row, messages: row.messages.slice(0, last + 1), turns, notes };
}

/**
 * The conversation as a prompt and its last assistant turn (`train_on: "last"`).
 *
 * @throws DataError when that turn has the weight 0
 */
export function lastTurnAsChat({ row, messages }: ConversationPlan): ChatRow {
  if (messages.at(-1)?.weight === 0) {
    throw new DataError(
      `${row.where}: expected the last assistant turn to count in the loss (train_on: last), but it says "weight": 0. ` +
        `Set train_on: all, or remove the row.`,
    );
  }
  return { ...row, kind: "chat", prompt: messages.slice(0, -1), completions: [messages.slice(-1)] };
}

/** The renderings that `finishConversation` needs: the whole, then beginning and end of each learned turn. */
export function conversationRequests(plan: ConversationPlan, context: ChatContext): RowRequest[] {
  const { row, messages } = plan;
  const common = { tools: row.tools ?? null, variables: { ...context.variables, ...row.variables } };
  const turns = turnsToFind(plan, context);
  // Thinking of earlier exchanges is no longer read once another question follows.
  const learnedFrom = messages.findLastIndex(({ role }) => role === "user") + 1;
  return [
    { ...common, messages, addGenerationPrompt: false, learnedFrom },
    ...turnRequests({ messages, turns }, common),
  ];
}

/** The template's marks are enough where every assistant turn is learned. */
function turnsToFind({ messages, turns }: ConversationPlan, { hasMarks }: ChatContext): readonly number[] {
  const all = messages.filter(({ role }) => role === "assistant").length;
  return hasMarks && turns.length === all ? [] : turns;
}

/**
 * The conversation's token ids from its renderings: the prompt is all before the first learned turn.
 *
 * @throws DataError when the template writes the messages before a turn differently from the whole conversation
 */
export function finishConversation(
  plan: ConversationPlan,
  rendered: readonly Rendering[],
  context: ChatContext,
): EncodedRow {
  const notes = new Set<EncodeNote>(plan.notes);
  const whole = endAtTerminator(rendered[0]?.text ?? "", 0, context, notes);
  const marked = rendered[0]?.generated ?? null;
  const { where } = plan.row;
  if (context.format.header !== "") notes.add("no_generation_prompt");
  const turns = turnsToFind(plan, context);
  const search = { where, messages: plan.messages, turns, remedy: 'Set train_on to "last"' };
  let spans = turnSpans(whole, search, rendered.slice(1), { context, notes });
  if (marked !== null) {
    const inTurns = markedSpans(whole, marked, context.format, notes).filter(
      ({ start }) => turns.length === 0 || spans.some((turn) => start >= turn.start && start < turn.end),
    );
    spans = inTurns;
    noteEmptyThinking(whole, spans, plan.messages, notes);
  }
  const what = `${where}: expected what is learned`;
  checkSaysSomething(whole, spans, { format: context.format, hasMarks: marked !== null, what });
  return assemble(whole, spans, context, notes);
}

/** Tokenises the whole once and masks all but the spans. */
function assemble(
  whole: string,
  spans: TextSpan[],
  context: ChatContext,
  notes: Set<EncodeNote>,
): EncodedRow {
  const { tokenizer } = context;
  const encode = (text: string): number[] =>
    withoutDoubleBos(tokenizer.encode(text, { addSpecialTokens: false }), tokenizer, notes);
  const ids = encode(whole);
  const { mask, first, before, moved } = learnedTokens(whole, ids, spans, encode);
  if (moved > 0) notes.add("boundary_moved");
  return {
    promptIds: ids.slice(0, first),
    completions: [{ ids: ids.slice(first), mask: mask.slice(first) }],
    ...aloneOf(before, ids.slice(0, first)),
    boundaryMoved: moved,
    notes: [...notes],
  };
}
