/** Completions in the terminal: printed while they are sampled when there is one, and the chat around them. */
import { createInterface } from "node:readline";
import { ConfigError, PreftuneError, TorchError } from "../base/errors.ts";
import { deriveSeed } from "../base/random.ts";
import {
  type AdapterVariant,
  CompletionCollector,
  type FinishedCompletion,
  type Generation,
  type SamplingSettings,
} from "../recipes/open-generation.ts";
import type { Message } from "../text/messages.ts";

/** A prompt for {@link printCompletions}. */
interface PromptRequest {
  generation: Generation;
  sampling: SamplingSettings;
  prompt: readonly number[];
  variant: AdapterVariant;
  /** Ends the completion where it is. */
  signal?: AbortSignal;
  /** Called when the first token is there. */
  onFirstToken?: () => void;
}

/**
 * Prints the completions of one prompt: a single one while it is sampled, several one after the other.
 *
 * @returns the completions
 * @throws {TorchError} if the model cannot be computed
 */
export async function printCompletions({
  generation,
  sampling,
  prompt,
  variant,
  signal,
  onFirstToken = () => {},
}: PromptRequest): Promise<FinishedCompletion[]> {
  const { engine, stopIds } = generation;
  const collector = new CompletionCollector(sampling.n);
  let failure: string | null = null;
  let isDone = false;
  let hasToken = false;
  const continuesPrompt = !generation.isChat;
  const request = { ...sampling, promptIds: prompt, stopIds, adapter: variant.adapter, continuesPrompt };
  engine.submit("prompt", request, (event) => {
    if (event.type === "token" && !hasToken) onFirstToken();
    hasToken ||= event.type === "token";
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
  else collector.completions.forEach(({ text }, i) => void show(`[${i + 1}]\n${text}\n`));
  return collector.completions;
}

/** Writes text of a model; on a terminal, without control characters. */
function show(text: string): void {
  process.stdout.write(process.stdout.isTTY ? text.replace(/[^\P{Cc}\n\t]/gu, "\u00b7") : text);
}

const help = "/clear starts a new conversation, /exit or Ctrl-D exits, Ctrl-C stops a completion";

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
  const [variant] = generation.variants;
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
      const turn = { generation, sampling, variant: variant as AdapterVariant, signal: stop.signal };
      messages = await reply(turn, messages, text);
      stop = null;
    }
    if (isOpen) lines.prompt();
  }
  lines.close();
}

/** The conversation with `text` and its completion, or as it was where that failed. */
async function reply(
  turn: Omit<PromptRequest, "prompt">,
  before: readonly Message[],
  text: string,
): Promise<Message[]> {
  const messages: Message[] = [...before, { role: "user", content: text }];
  try {
    const prompt = await turn.generation.encode(messages);
    const sampling = { ...turn.sampling, seed: deriveSeed(turn.sampling.seed, messages.length) };
    const [completion] = await printCompletions({ ...turn, sampling, prompt });
    return [...messages, { role: "assistant", content: completion?.text ?? "" }];
  } catch (error) {
    if (!(error instanceof PreftuneError)) throw error;
    process.stdout.write(`${error.message}\n`);
    return [...before];
  }
}
