/** Writing a model as a GGUF file for llama.cpp and Ollama, with a Modelfile beside it, once rows were re-scored from the file. */
import { existsSync, statSync } from "node:fs";
import { basename } from "node:path";
import { FileError } from "../base/errors.ts";
import { putInPlace, siblingName, uniqueTag } from "../base/file-io.ts";
import { remove, writeFileAtomic } from "../base/files.ts";
import type { PhaseListener } from "../base/phase-listener.ts";
import { contextLength, type ModelConfig } from "../formats/model-config.ts";
import { settleEnvironment } from "../forward/environment.ts";
import { licenseOf } from "../gguf/license.ts";
import { modelfilePath, modelfileText } from "../gguf/modelfile.ts";
import type { EndTokens } from "../gguf/special-tokens.ts";
import type { WrittenType } from "../gguf/types.ts";
import { endOfText } from "../text/chat-format.ts";
import { type ModelText, openText } from "../text/open-text.ts";
import { chatTemplateSource } from "../text/template-source.ts";
import { type GgufMeasure, judgeGguf } from "../train/gguf-gate.ts";
import { scoreGguf, writeGgufModel } from "../train/gguf-model.ts";
import { ggufBatches, systemMessage } from "./gguf-rows.ts";
import { type GgufOrigin, ggufOrigin } from "./gguf-source.ts";

/** What to write, and where to. */
export interface ExportGgufOptions {
  /** A run's directory, or a model's directory or hub id. */
  source: string;
  /** Adapter of a model; a run has its own. */
  adapter?: string | null;
  type: WrittenType;
  /** The GGUF file. */
  output: string;
  /** Replace files that are there; default false. */
  replace?: boolean;
  /** Rows for the check; default: a run's held-out rows, for a model random tokens. */
  data?: string | null;
  /** Largest difference of a token's log-prob in an f32 file, nats. */
  tolerance?: number;
  /** Tokens that Ollama keeps of prompt and answer; default: a run's max_length, for a model its own length, 8192 at most. */
  contextLength?: number | null;
  /** System message of the Modelfile; default: the one that all training rows of a run have. */
  system?: string | null;
  device?: string;
  threads?: number | null;
  onPhase?: PhaseListener;
  /** Called as the writing begins and before files are put in place; what it throws leaves nothing written. */
  onWrite?: () => void;
}

/** What was written and measured. */
export interface ExportGgufResult extends GgufMeasure {
  path: string;
  modelfile: string;
  type: WrittenType;
  bytes: number;
  tolerance: number;
  /** What a user should know. */
  notes: string[];
}

/**
 * Writes the file and its Modelfile, once the file's numbers score rows as the model does.
 *
 * @throws {FileError} if a target is there and not to be replaced
 * @throws {FormatError} for models and tokenizers that llama.cpp would compute otherwise, and a file that scores otherwise
 */
export async function exportGguf(options: ExportGgufOptions): Promise<ExportGgufResult> {
  const { output, type, tolerance = 1e-4, onPhase = () => {}, onWrite = () => {} } = options;
  const modelfile = modelfilePath(output);
  refuseTargets([output, modelfile], options.replace ?? false);
  const origin = await ggufOrigin(options.source, options.adapter ?? null, onPhase);
  const { device } = settleEnvironment({
    device: options.device ?? "auto",
    threads: options.threads ?? null,
    dtype: "float32",
  });
  await using text = await textOf(origin);
  const ends = await endTokensOf(text);
  const rows = await ggufBatches(origin, options.data ?? null, { config: text.config, onPhase });
  const license = licenseOf(origin.model);
  const content = modelfileText({
    file: basename(output),
    stops: stopsOf(text, ends),
    contextLength: options.contextLength ?? usualContext(origin, text.config),
    system: options.system ?? (origin.run === null ? null : await systemMessage(origin.run)),
    license: license.text ?? license.name,
  });
  const temporary = siblingName(output, "tmp", uniqueTag());
  try {
    onWrite();
    const written = writeGgufModel(temporary, {
      ...{ ...origin, ...text, ends, device, type, ...rows },
      license: license.name,
      template: templateOf(origin, text),
    });
    const measure = judgeGguf(type, scoreGguf(temporary, written), { tolerance, output });
    const bytes = statSync(temporary).size;
    onWrite();
    putInPlace(temporary, output);
    writeFileAtomic(modelfile, content);
    const notes = [...written.notes, ...notesOf(origin)];
    return { ...measure, path: output, modelfile, type, bytes, tolerance, notes };
  } finally {
    remove(temporary);
  }
}

function refuseTargets(paths: readonly string[], replace: boolean): void {
  const taken = paths.find((path) => existsSync(path));
  if (taken === undefined) return;
  if (statSync(taken).isDirectory()) {
    throw new FileError(
      `${taken}: expected the path of a file to write, got a directory. Give a name ending in .gguf.`,
    );
  }
  if (!replace) {
    throw new FileError(
      `${taken}: expected a path where nothing is yet. It is kept as it is. Choose another --output, or replace it: --replace`,
    );
  }
}

function textOf({ model, run }: GgufOrigin): Promise<ModelText> {
  return openText(model, {
    chatTemplate: run?.chat_template ?? null,
    enableThinking: run?.enable_thinking ?? null,
  });
}

async function endTokensOf({ tokenizer, config, encoder, stopIds }: ModelText): Promise<EndTokens> {
  const eos = endOfText(tokenizer, config.eosTokenIds).id;
  const endOfTurn = encoder.hasChatTemplate ? (await encoder.chatFormat()).endOfTurnId : eos;
  return { eos, endOfTurn, ids: stopIds };
}

/** The texts at which Ollama stops: control tokens alone, which it sees as texts. */
function stopsOf({ tokenizer }: ModelText, { ids }: EndTokens): string[] {
  return [...ids].map((id) => tokenizer.tokenText(id) ?? "").filter((text) => text !== "");
}

function templateOf(
  { run }: GgufOrigin,
  { tokenizer, encoder }: ModelText,
): { text: string; named: Readonly<Record<string, string>> } | null {
  if (!encoder.hasChatTemplate) return null;
  const choice = run?.chat_template ?? null;
  const { named } = tokenizer.chatTemplates;
  return { text: chatTemplateSource(tokenizer, choice, false), named: choice === null ? named : {} };
}

/** Tokens that Ollama keeps where nobody says: more takes memory that a small machine lacks. */
const mostContext = 8192;

function usualContext({ run }: GgufOrigin, config: ModelConfig): number {
  const { slidingWindow, layerKinds } = config;
  const isWindow = slidingWindow !== null && !layerKinds.includes("full");
  return (
    run?.max_length ?? Math.min(contextLength(config), mostContext, isWindow ? slidingWindow : mostContext)
  );
}

function notesOf({ run }: GgufOrigin): string[] {
  const thinking = run?.enable_thinking ?? null;
  if (thinking === null) return [];
  return [
    `The run rendered its chats with enable_thinking ${thinking}. The file cannot say that: start llama-server with ` +
      `--chat-template-kwargs '{"enable_thinking":${thinking}}', and Ollama with --think=${thinking}.`,
  ];
}
