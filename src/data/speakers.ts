/** Who speaks in conversations that data sets write. */
import type { Message } from "../text/messages.ts";

/** Who ShareGPT's names are (the tags of LLaMA-Factory and of Axolotl's chat_template). */
export const speakers: Readonly<Record<string, Message["role"]>> = {
  human: "user",
  user: "user",
  gpt: "assistant",
  assistant: "assistant",
  chatgpt: "assistant",
  function_call: "assistant",
  system: "system",
  tool: "tool",
  observation: "tool",
  function_response: "tool",
};

/** Whether `name` is such a name, in whatever case it is written. */
export function isSpeaker(name: unknown): boolean {
  return typeof name === "string" && Object.hasOwn(speakers, name.toLowerCase());
}
