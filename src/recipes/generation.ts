/** A model made ready to answer: fetched, loaded with its adapters by name, and its chat template at hand. */

import { basename } from "node:path";
import { at } from "../base/at.ts";
import { ConfigError, DataError } from "../base/errors.ts";
import type { PhaseListener } from "../base/phase-listener.ts";
import { warn } from "../base/warn.ts";
import { type EnvironmentOptions, settleEnvironment } from "../forward/environment.ts";
import type { Engine } from "../generate/engine.ts";
import { openEngine } from "../generate/open-engine.ts";
import type { EngineLimits, GenerateEvent, GenerateRequest } from "../generate/request.ts";
import { withLocalModels } from "../hub/hub-model.ts";
import type { RowEncoder } from "../text/encode.ts";
import type { Message } from "../text/messages.ts";
import { openText } from "../text/open-text.ts";
import { noGenerationPrompt, type SourceRow } from "../text/rows.ts";
import type { Tokenizer } from "../text/tokenizer.ts";

/** Which model answers, and how prompts are put to it. */
export interface GenerationOptions extends EnvironmentOptions {
  model: string;
  /** Directories or hub ids, `NAME=DIR`, or "base" for the model without one; empty: the base alone. */
  adapters: readonly string[];
  /** Plain text is continued as it stands, without the chat template. */
  isPlain?: boolean;
  chatTemplate?: string | null;
  enableThinking?: boolean | null;
  limits?: Partial<EngineLimits>;
  onPhase?: PhaseListener;
}

/** One of the models that answer. */
export interface Voice {
  name: string;
  /** The adapter's name in requests; null for the base. */
  adapter: string | null;
}

/** How tokens are drawn: a request without its prompt. */
export type SamplingSettings = Omit<GenerateRequest, "promptIds" | "adapter" | "stopIds" | "continuesPrompt">;

/** A model ready to answer. Disposing of it frees it. */
export interface Generation extends AsyncDisposable {
  engine: Engine;
  tokenizer: Tokenizer;
  encoder: RowEncoder;
  /** In the order given, at least one. */
  voices: readonly Voice[];
  /** Whether prompts go through a chat template. */
  isChat: boolean;
  /** Tokens that end an answer. */
  stopIds: ReadonlySet<number>;
  maxPositions: number;
  /** Tokens of a conversation up to where the answer begins; of plain text where there is no template. */
  encode(prompt: readonly Message[] | string): Promise<number[]>;
  /** The same of a row as files give it. */
  encodeRow(row: SourceRow): Promise<number[]>;
}

const baseName = "base";

/**
 * Loads the model and its adapters.
 *
 * @throws {ConfigError} if two adapters have the same name
 * @throws {FileError} if something is neither there nor can be fetched
 */
export async function openGeneration(options: GenerationOptions): Promise<Generation> {
  const wanted = parseVoices(options.adapters);
  const { device, dtype } = settleEnvironment(options);
  const search = options.onPhase === undefined ? {} : { onPhase: options.onPhase };
  const { model } = await withLocalModels({ model: options.model, ...search });
  const adapters = new Map<string, string>();
  for (const { name, directory } of wanted) {
    if (directory === null) continue;
    const { adapter } = await withLocalModels({ model, adapter: directory, ...search });
    adapters.set(name, adapter);
  }
  const { isPlain = false, limits = {}, chatTemplate = null, enableThinking = null } = options;
  await using opening = new AsyncDisposableStack();
  const text = opening.use(await openText(model, { chatTemplate, enableThinking }));
  const { tokenizer, encoder, stopIds } = text;
  const { engine } = opening.use(openEngine({ model, tokenizer, adapters, device, dtype, limits }));
  const encodeRow = async (row: SourceRow): Promise<number[]> => {
    const [outcome] = await encoder.encode([row]);
    if (outcome === undefined) throw new DataError("the prompt could not be encoded.");
    if ("error" in outcome) throw outcome.error;
    if (outcome.row.notes.includes("no_generation_prompt")) warn(noGenerationPrompt);
    return outcome.row.promptIds;
  };
  const open = opening.move();
  return {
    engine,
    tokenizer,
    encoder,
    voices: wanted.map(({ name, directory }) => ({ name, adapter: directory === null ? null : name })),
    isChat: encoder.hasChatTemplate && !isPlain,
    stopIds,
    maxPositions: text.config.maxPositions,
    encode: (prompt) => encodeRow(rowOf(prompt)),
    encodeRow,
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}

function rowOf(prompt: readonly Message[] | string): SourceRow {
  return typeof prompt === "string"
    ? { kind: "text", where: "the prompt", prompt, completions: [] }
    : { kind: "chat", where: "the prompt", prompt, continueFinalMessage: true, completions: [] };
}

/** Names and directories of the adapters as words give them; a null directory is the base. */
function parseVoices(words: readonly string[]): { name: string; directory: string | null }[] {
  const voices = (words.length === 0 ? [baseName] : words).map((word) => {
    if (word === baseName) return { name: baseName, directory: null };
    const named = /^([\w.-]+)=(.+)$/.exec(word);
    if (named !== null) return { name: at(named, 1), directory: at(named, 2) };
    return { name: basename(word), directory: word };
  });
  const names = voices.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice === undefined && !voices.some(({ name, directory }) => name === baseName && directory !== null)) {
    return voices;
  }
  throw new ConfigError(
    `--adapter: expected names that differ, and "${baseName}" for the model itself; "${twice ?? baseName}" is taken. ` +
      "Give each a name of its own: --adapter NAME=DIR.",
  );
}

/** One finished answer. */
export interface FinishedAnswer {
  text: string;
  reason: "stop" | "length";
  /** Tokens of the answer, without the one that ended it. */
  tokens: number;
}

/** Gathers the answers of a request from its events. */
export class AnswerCollector {
  readonly answers: FinishedAnswer[];

  constructor(n: number) {
    this.answers = Array.from({ length: n }, () => ({ text: "", reason: "length", tokens: 0 }));
  }

  /** Takes the request's next event. */
  add(event: GenerateEvent): void {
    if (event.type !== "token" && event.type !== "end") return;
    const answer = at(this.answers, event.answer);
    answer.text += event.text;
    if (event.type === "token") answer.tokens++;
    else answer.reason = event.reason;
  }
}
