/** A line of what `preftune generate` writes for a file of prompts. Readers: src/evaluate/answers/generated-rows.ts. */
import type { Prompt } from "../data/prompt-file.ts";
import type { Message } from "../text/messages.ts";
import type { AdapterVariant, FinishedCompletion } from "./open-generation.ts";

/** A completion as the line has it. */
interface LineCompletion {
  text: string;
  ended: boolean;
  finish_reason: "stop" | "length";
  tokens: number;
}

/** All completions of a prompt by an adapter. */
export interface GeneratedLine {
  index: number;
  /** The last message, or the plain text. */
  prompt: string;
  /** The whole prompt, where it is more than one message of a user. */
  prompt_messages?: readonly Message[];
  /** The user's turns after the prompt, where there are any. */
  follow_ups?: readonly string[];
  adapter: string;
  /** The completion of the last turn; where there were several, `turns` has the completion of each. */
  answers: (LineCompletion & { turns?: LineCompletion[] })[];
}

/** @param dialogues - for each sample its completions, one a turn */
export function generatedLine(
  { prompt, index, variant }: { prompt: Prompt; index: number; variant: AdapterVariant },
  dialogues: readonly (readonly FinishedCompletion[])[],
): GeneratedLine {
  const { text, row, followUps } = prompt;
  const answers = dialogues.map((turns) => {
    const all = turns.map(completionOf);
    const last = all.at(-1) as LineCompletion;
    return followUps.length === 0 ? last : { ...last, turns: all };
  });
  const messages = row.kind === "chat" ? row.prompt : [];
  const isOne = messages.length <= 1 && (messages[0]?.role ?? "user") === "user";
  return {
    index,
    prompt: text,
    ...(isOne ? {} : { prompt_messages: messages }),
    ...(followUps.length === 0 ? {} : { follow_ups: followUps }),
    adapter: variant.name,
    answers,
  };
}

function completionOf({ text, reason, tokens }: FinishedCompletion): LineCompletion {
  return { text, ended: reason === "stop", finish_reason: reason, tokens };
}
