/**
 * Prompts that end in a turn the assistant has begun: the answer goes on in that turn, as with `continue_final_message`
 * in transformers. No end of turn and no second header come between.
 */
import { DataError } from "../base/errors.ts";
import { contentText, type Message } from "./messages.ts";
import type { ChatRow } from "./rows.ts";

/** Stands behind the begun text while it is rendered. The space tells whether the template strips contents. */
const tag = "PREFTUNE-GOES-ON-HERE ";

/** The turn that the answers go on with; null where the prompt ends otherwise, or its last turn is whole. */
function begunTurn({ prompt, continueFinalMessage = false }: ChatRow): Message | null {
  const last = prompt.at(-1);
  return continueFinalMessage && last?.role === "assistant" ? last : null;
}

/** True when the answers of `row` go on with its prompt's last turn. */
export function isContinued(row: ChatRow): boolean {
  return begunTurn(row) !== null;
}

/** The messages that are rendered for the prompt alone. */
export function promptMessages(row: ChatRow): readonly Message[] {
  const begun = begunTurn(row);
  if (begun === null) return row.prompt;
  if (begun.tool_calls !== undefined) {
    throw new DataError(
      `${row.where}: expected the assistant's turn at the prompt's end to be text that the answer goes on with, but it ` +
        `calls tools. Put the tool's message behind it.`,
    );
  }
  return [...row.prompt.slice(0, -1), { ...begun, content: contentText(begun) + tag }];
}

/**
 * Prompt and answer as one conversation.
 *
 * @throws DataError when the answer has thinking of its own, which cannot stand inside a begun turn
 */
export function wholeMessages(row: ChatRow, completion: readonly Message[]): readonly Message[] {
  const begun = begunTurn(row);
  const [first, ...others] = completion;
  if (begun === null || first === undefined) return [...row.prompt, ...completion];
  if (first.reasoning_content !== undefined) {
    throw new DataError(
      `${row.where}: expected an answer that goes on with the prompt's last turn, but it has "reasoning_content", which ` +
        `begins a turn. Put it into the prompt's turn, or end the prompt with the user's message.`,
    );
  }
  const content = contentText(begun) + contentText(first);
  return [...row.prompt.slice(0, -1), { ...begun, ...first, content }, ...others];
}

/**
 * What is rendered of the prompt, up to where the answer goes on.
 *
 * Source: transformers 5.23, `render_jinja_template`: cut at the mark; where the template stripped the mark's own
 * space, white space at the end of the begun text was stripped too.
 *
 * @throws DataError when the template does not write the begun text as it stands
 */
export function promptText(row: ChatRow, rendered: string): string {
  const begun = begunTurn(row);
  if (begun === null) return rendered;
  const at = rendered.lastIndexOf(tag.trim());
  if (at < 0 || !rendered.includes(contentText(begun).trim())) {
    throw new DataError(
      `${row.where}: expected the chat template to write the assistant's turn at the prompt's end as it stands, so that the ` +
        `answer can go on with it, but it changes the turn. End the prompt with the user's message and put the begun text ` +
        `into the answers, or give another template with chat_template.`,
    );
  }
  const text = rendered.slice(0, at);
  return rendered.startsWith(tag, at) ? text : text.trimEnd();
}
