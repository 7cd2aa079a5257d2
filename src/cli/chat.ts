/** Answers in the terminal: as they are written when there is one, and the chat around them. */
import { createInterface } from "node:readline";
import { ConfigError, PreftuneError, TorchError } from "../base/errors.ts";
import { deriveSeed } from "../base/random.ts";
import {
  AnswerCollector,
  type FinishedAnswer,
  type Generation,
  type SamplingSettings,
  type Voice,
} from "../recipes/generation.ts";
import type { Message } from "../text/messages.ts";

/** What is to be answered. */
export interface Asked {
  generation: Generation;
  sampling: SamplingSettings;
  prompt: readonly number[];
  voice: Voice;
  /** Ends the answer where it is. */
  signal?: AbortSignal;
}

/**
 * Writes the answers to one prompt: a single one while it comes, several one after the other.
 *
 * @returns the answers
 * @throws {TorchError} if the model cannot be computed
 */
export async function answer({
  generation,
  sampling,
  prompt,
  voice,
  signal,
}: Asked): Promise<FinishedAnswer[]> {
  const { engine, stopIds } = generation;
  const collector = new AnswerCollector(sampling.n);
  let failure: string | null = null;
  let isDone = false;
  const continuesPrompt = !generation.isChat;
  const request = { ...sampling, promptIds: prompt, stopIds, adapter: voice.adapter, continuesPrompt };
  engine.submit("prompt", request, (event) => {
    collector.add(event);
    if (sampling.n === 1 && "text" in event) show(event.text);
    if (event.type === "error") failure = event.message;
    if (event.type === "done" || event.type === "error") isDone = true;
  });
  while (!isDone && signal?.aborted !== true) {
    engine.step();
    // lets key presses and other events in between passes
    await new Promise(setImmediate);
  }
  engine.cancel("prompt");
  if (failure !== null) throw new TorchError(failure);
  if (sampling.n === 1) show("\n");
  else collector.answers.forEach(({ text }, i) => void show(`[${i + 1}]\n${text}\n`));
  return collector.answers;
}

/** Writes a model's words; on a terminal, without anything that could steer it. */
function show(text: string): void {
  process.stdout.write(process.stdout.isTTY ? text.replace(/[^\P{Cc}\n\t]/gu, "\u00b7") : text);
}

const help = "/clear starts a new conversation, /exit or Ctrl-D exits, Ctrl-C stops an answer";

/**
 * A conversation: each line of the input is a user's message.
 *
 * @throws {ConfigError} if the tokenizer has no chat template
 */
export async function chat(
  generation: Generation,
  sampling: SamplingSettings,
  system: string | null,
): Promise<void> {
  if (!generation.isChat) {
    throw new ConfigError(
      "--chat needs a chat template, and the tokenizer has none: give --chat-template, or use --prompt.",
    );
  }
  const [voice] = generation.voices;
  const beginning: Message[] = system === null ? [] : [{ role: "system", content: system }];
  let messages = [...beginning];
  const lines = createInterface({ input: process.stdin, output: process.stdout, prompt: "> " });
  let stop: AbortController | null = null;
  let isOpen = true;
  // lines that came before the input ended are still to be answered
  lines.on("close", () => {
    isOpen = false;
  });
  lines.on("SIGINT", () => {
    if (stop === null) lines.close();
    else stop.abort();
  });
  process.stdout.write(`${help}\n`);
  lines.prompt();
  for await (const line of lines) {
    const text = line.trim();
    if (text === "/exit") break;
    if (text === "/clear") messages = [...beginning];
    else if (text.startsWith("/")) process.stdout.write(`${help}\n`);
    else if (text !== "") {
      stop = new AbortController();
      const turn = { generation, sampling, voice: voice as Voice, signal: stop.signal };
      messages = await reply(turn, messages, text);
      stop = null;
    }
    if (isOpen) lines.prompt();
  }
  lines.close();
}

/** The conversation with `text` and its answer, or as it was where that failed. */
async function reply(
  turn: Omit<Asked, "prompt">,
  before: readonly Message[],
  text: string,
): Promise<Message[]> {
  const asked: Message[] = [...before, { role: "user", content: text }];
  try {
    const prompt = await turn.generation.encode(asked);
    const sampling = { ...turn.sampling, seed: deriveSeed(turn.sampling.seed, asked.length) };
    const [reply] = await answer({ ...turn, sampling, prompt });
    return [...asked, { role: "assistant", content: reply?.text ?? "" }];
  } catch (error) {
    if (!(error instanceof PreftuneError)) throw error;
    process.stdout.write(`${error.message}\n`);
    return [...before];
  }
}
