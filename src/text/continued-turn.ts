/**
 * Prompts that end in a turn the assistant has begun: the answer continues that turn, as with `continue_final_message`
 * in transformers. No end of turn and no second header come between.
 */
import { DataError } from "../base/errors.ts";
import { contentText } from "./message-text.ts";
import type { Message } from "./messages.ts";
import type { ChatRow } from "./source-rows.ts";

/** Stands behind the begun text while it is rendered. The space tells whether the template strips contents. */
const tag = "PREFTUNE-GOES-ON-HERE ";

/** The turn that the answers continue; null where the prompt ends otherwise, or its last turn is complete. */
function begunTurn({ prompt, continueFinalMessage = false }: ChatRow): Message | null {
  const last = prompt.at(-1);
  return continueFinalMessage && last?.role === "assistant" ? last : null;
}

/** True when the answers of `row` continue its prompt's last turn. */
export function isContinued(row: ChatRow): boolean {
  return begunTurn(row) !== null;
}

/** The messages that are rendered for the prompt alone. */
export function promptMessages(row: ChatRow): readonly Message[] {
  const begun = begunTurn(row);
  if (begun === null) return row.prompt;
  if (begun.tool_calls !== undefined) {
    throw new DataError(
      `${row.where}: expected the assistant's turn at the prompt's end to be text that the answer continues, but it ` +
        `calls tools. Put the tool's message behind it.`,
    );
  }
  return [...row.prompt.slice(0, -1), { ...begun, content: contentText(begun) + tag }];
}

/**
 * Prompt and answer as one conversation.
 *
 * @throws DataError when the answer has thinking, which cannot be inside a begun turn
 */
export function joinedMessages(row: ChatRow, completion: readonly Message[]): readonly Message[] {
  const begun = begunTurn(row);
  const [first, ...others] = completion;
  if (begun === null || first === undefined) return [...row.prompt, ...completion];
  if (first.reasoning_content !== undefined) {
    throw new DataError(
      `${row.where}: expected an answer that continues the prompt's last turn, but it has "reasoning_content", which ` +
        `begins a turn. Put it into the prompt's turn, or end the prompt with the user's message.`,
    );
  }
  const content = contentText(begun) + contentText(first);
  return [...row.prompt.slice(0, -1), { ...begun, ...first, content }, ...others];
}

/**
 * The rendering of the prompt, up to where the answer continues it.
 *
 * Source: transformers 5.23, `render_jinja_template`: cut at the mark; where the template stripped the mark's own
 * space, white space at the end of the begun text was stripped too.
 *
 * @throws DataError when the template changes the begun text
 */
export function promptText(row: ChatRow, rendered: string): string {
  const begun = begunTurn(row);
  if (begun === null) return rendered;
  const at = rendered.lastIndexOf(tag.trim());
  if (at < 0 || !rendered.includes(contentText(begun).trim())) {
    throw new DataError(
      `${row.where}: expected the chat template to write the assistant's turn at the prompt's end verbatim, so that the ` +
        `answer can continue it, but it changes the turn. End the prompt with the user's message and put the begun text ` +
        `into the answers, or give another template with chat_template.`,
    );
  }
  const text = rendered.slice(0, at);
  return rendered.startsWith(tag, at) ? text : text.trimEnd();
}
