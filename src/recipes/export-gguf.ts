/** Writing a model as a GGUF file for llama.cpp and Ollama, with a Modelfile beside it, once rows were re-scored from the file. */
import { existsSync, statSync } from "node:fs";
import { basename } from "node:path";
import { ConfigError, FileError } from "../base/errors.ts";
import { putInPlace, siblingName, uniqueTag } from "../base/file-io.ts";
import { remove, removeLeftOversOf, writeFileAtomic } from "../base/files.ts";
import type { PhaseListener } from "../base/phase-listener.ts";
import { isOnPolicy } from "../config/online-keys.ts";
import type { RunConfig } from "../config/run-config.ts";
import { adapterPlace, checkedScale, scaledPlace } from "../formats/adapter-scale.ts";
import { contextLength, type ModelConfig } from "../formats/model-config.ts";
import type { Quantisation } from "../formats/quantisation.ts";
import { settleEnvironment } from "../forward/environment.ts";
import { licenseOf } from "../gguf/license.ts";
import { modelfilePath, modelfileText } from "../gguf/modelfile.ts";
import type { EndTokens } from "../gguf/special-tokens.ts";
import type { WrittenType } from "../gguf/types.ts";
import { endOfText } from "../text/chat-format.ts";
import { type ModelText, openText } from "../text/open-text.ts";
import { chatTemplateSource } from "../text/template-source.ts";
import { writeGgufAdapter } from "../train/gguf-adapter.ts";
import { type GgufMeasure, type GgufScores, judgeGguf } from "../train/gguf-gate.ts";
import { type GgufModel, scoreGguf, writeGgufModel } from "../train/gguf-model.ts";
import { ggufBatches, systemMessage } from "./gguf-rows.ts";
import { type GgufOrigin, ggufOrigin, startOfRun } from "./gguf-source.ts";
import { findQuantizer, quantise } from "./llama-quantize.ts";

/** Types of files. Q4_K_M is made by llama.cpp's own program. */
export type ExportType = WrittenType | "q4_k_m";

/** What to write, and where to. */
export interface ExportGgufOptions {
  /** A run's directory, or a model's directory or hub id. */
  source: string;
  /** Adapter of a model; a run has its own. */
  adapter?: string | null;
  /** How much of what was trained is taken: 0 is the start, 1 the result. Default: what a run exported, of an adapter all. */
  adapterScale?: number | null;
  /** How a model's linears were held when the adapter was trained; default: as they are stored. A run knows. */
  quantise?: Quantisation | null;
  /** Write the adapter alone, in f32, to be applied to the base model's file; default: it is merged. */
  lora?: boolean;
  /** Default q8_0; of an adapter f32. */
  type?: ExportType | null;
  /** Path of llama-quantize, for q4_k_m; default: the one on PATH. */
  quantizer?: string | null;
  /** The GGUF file. */
  output: string;
  /** Replace files that are there; default false. */
  replace?: boolean;
  /** Rows for the check; default: a run's held-out rows, for a model random tokens. */
  data?: string | null;
  /** Largest difference of a token's log-prob in an f32 file, nats; default 1e-4. */
  tolerance?: number;
  /** Tokens that Ollama keeps of prompt and answer; default: as long as a run's rows could be, for a model its own length, 8192 at most. */
  contextLength?: number | null;
  /** System message of the Modelfile; default: the one that all training rows of a run have. */
  system?: string | null;
  device?: string;
  threads?: number | null;
  onPhase?: PhaseListener;
  /** Called as the writing begins and before files are put in place; what it throws leaves nothing written. */
  onWrite?: () => void;
  /** Ends llama-quantize, for q4_k_m; nothing is left then. */
  signal?: AbortSignal | null;
}

/** What was written and measured. */
export interface ExportGgufResult extends GgufMeasure {
  path: string;
  /** Null for an adapter. */
  modelfile: string | null;
  type: ExportType;
  bytes: number;
  tolerance: number;
  /** What a user should know. */
  notes: string[];
}

/**
 * Writes the file and its Modelfile, once the file's numbers score rows as the model does.
 *
 * @throws {ConfigError} for options that contradict each other or have no effect
 * @throws {FileError} if a target is there and not to be replaced
 * @throws {FormatError} for models and tokenizers that llama.cpp would compute otherwise, and a file that scores otherwise
 */
export async function exportGguf(options: ExportGgufOptions): Promise<ExportGgufResult> {
  const { output, lora = false, tolerance = 1e-4, signal = null } = options;
  const { onPhase = () => {}, onWrite = () => {} } = options;
  const type = typeOf(options);
  refuseIdle(options, type);
  const quantizer = type === "q4_k_m" ? findQuantizer(options.quantizer ?? null) : null;
  const modelfile = lora ? null : modelfilePath(output);
  refuseTargets([output, ...(modelfile === null ? [] : [modelfile])], options.replace ?? false);
  const { adapter = null, quantise: held = null } = options;
  const takesWhole = (options.adapterScale ?? null) !== null;
  const whole = await ggufOrigin(options.source, { adapter, quantise: held, takesWhole }, onPhase);
  const { origin: scaled, base } = await atScale(whole, options);
  const scale = options.adapterScale ?? whole.lineage.scale ?? 1;
  const origin = { ...scaled, lineage: { ...scaled.lineage, scale } };
  const { device } = settleEnvironment({
    device: options.device ?? "auto",
    threads: options.threads ?? null,
    dtype: "float32",
  });
  await using text = await textOf(origin);
  refuseContext(options, text.config);
  const rows = await ggufBatches(origin, options.data ?? null, { config: text.config, onPhase });
  const given = { ...origin, ...base, device, ...rows };
  const content = modelfile === null ? null : await modelfileOf(options, origin, text);
  removeLeftOversOf(output);
  const temporary = siblingName(output, "tmp", uniqueTag());
  const beside = siblingName(output, "tmp", uniqueTag());
  try {
    onWrite();
    const making = { quantizer, output, signal, onWrite };
    const written = lora
      ? { scores: writeGgufAdapter(temporary, { ...given, adapter: requireAdapter(origin) }), notes: [] }
      : await writtenModel(temporary, { given, origin, text, type, ...making });
    const measure = judgeGguf(type, written.scores, { tolerance, output });
    const bytes = statSync(temporary).size;
    if (content !== null) writeFileAtomic(beside, content);
    onWrite();
    // neither without the other
    putInPlace(temporary, output);
    if (modelfile !== null) putInPlace(beside, modelfile);
    const notes = [...written.notes, ...notesOf(origin)];
    return { ...measure, path: output, modelfile, type, bytes, tolerance, notes };
  } finally {
    remove(temporary);
    remove(beside);
  }
}

function typeOf({ type = null, lora = false }: ExportGgufOptions): ExportType {
  if (!lora || type === null || type === "f32") return type ?? (lora ? "f32" : "q8_0");
  throw new ConfigError(
    `An adapter is written in f32, got --type ${type}. Leave it out, or merge: leave out --lora.`,
  );
}

/** @throws {ConfigError} for options that would do nothing */
function refuseIdle(
  { quantizer, lora = false, contextLength: tokens, system, tolerance }: ExportGgufOptions,
  type: ExportType,
): void {
  if (type !== "q4_k_m" && (quantizer ?? null) !== null) {
    throw new ConfigError(
      `--llama-quantize makes q4_k_m alone, and the type is ${type}. Take it out, or give --type q4_k_m.`,
    );
  }
  if (tolerance !== undefined && type.startsWith("q")) {
    throw new ConfigError(
      `--tolerance: what ${type} costs is measured and not judged. Take it out, or give --type f32.`,
    );
  }
  if (lora && (tokens ?? system ?? null) !== null) {
    throw new ConfigError(
      "--num-ctx and --system are of the Modelfile, and beside an adapter there is none. Take them out, or --lora.",
    );
  }
}

/** @throws {ConfigError} for more tokens than the model has positions */
function refuseContext({ contextLength: tokens }: ExportGgufOptions, config: ModelConfig): void {
  const most = contextLength(config);
  if ((tokens ?? 0) <= most) return;
  throw new ConfigError(`--num-ctx: expected at most ${most}, the model's context, got ${tokens}.`);
}

/**
 * The origin at the scale, and what its weights are made of where that is something else.
 *
 * @throws {ConfigError} for a scale of a model alone, one given twice, or of 0 in an adapter's file, which llama.cpp would take for 1
 */
async function atScale(
  origin: GgufOrigin,
  { adapterScale = null, lora = false, source, onPhase = () => {} }: ExportGgufOptions,
): Promise<{ origin: GgufOrigin; base?: Pick<GgufOrigin, "model" | "adapter"> }> {
  const own = origin.adapter === null ? 1 : adapterPlace(origin.adapter).scale;
  if (lora && (adapterScale ?? own) === 0) {
    throw new ConfigError(
      "An adapter at scale 0 with --lora: an adapter's file cannot say 0, and it would be the start. Leave the adapter out instead.",
    );
  }
  if (adapterScale === null) return { origin };
  const scale = checkedScale(adapterScale, "adapter_scale");
  const { adapter, run } = origin;
  if (adapter !== null) return { origin: { ...origin, adapter: scaledPlace(adapter, scale) } };
  if (scale === 1) return { origin };
  if (run === null) {
    throw new ConfigError(
      `${origin.name}: --adapter-scale scales what was trained, and of a model alone nobody knows what that is. Give the run, leave the scale out, or give the base model and --adapter.`,
    );
  }
  const model = await startOfRun(source, onPhase);
  return { origin, base: { model, adapter: scaledPlace(origin.model, scale) } };
}

function requireAdapter({ adapter, name }: GgufOrigin): string {
  if (adapter !== null) return adapter;
  throw new ConfigError(
    `${name}: expected an adapter to write, there is none. Give one with --adapter, or leave out --lora.`,
  );
}

interface ModelWork {
  given: Pick<
    GgufModel,
    "model" | "adapter" | "quantise" | "name" | "lineage" | "device" | "batches" | "arePairs"
  >;
  origin: GgufOrigin;
  text: ModelText;
  type: ExportType;
  quantizer: string | null;
  /** Where the file will be. */
  output: string;
  signal: AbortSignal | null;
  onWrite: () => void;
}

async function writtenModel(
  path: string,
  { given, origin, text, type, quantizer, output, signal, onWrite }: ModelWork,
): Promise<{ scores: GgufScores; notes: readonly string[] }> {
  const model: Omit<GgufModel, "type"> = {
    ...given,
    tokenizer: text.tokenizer,
    ends: await endTokensOf(text),
    license: licenseOf(origin.model).name,
    template: templateOf(origin, text),
  };
  if (type !== "q4_k_m") {
    const written = writeGgufModel(path, { ...model, type });
    return { scores: scoreGguf(path, written), notes: written.notes };
  }
  const exact = siblingName(output, "tmp", uniqueTag());
  try {
    const written = writeGgufModel(exact, { ...model, type: "f32" });
    // a signal to the group ends the program too
    await quantise(quantizer ?? "", exact, path, signal).finally(onWrite);
    return { scores: scoreGguf(path, { ...written, isQuantised: true }), notes: written.notes };
  } finally {
    remove(exact);
  }
}

async function modelfileOf(
  { output, contextLength: tokens, system }: ExportGgufOptions,
  origin: GgufOrigin,
  text: ModelText,
): Promise<string> {
  const license = licenseOf(origin.model);
  return modelfileText({
    file: basename(output),
    stops: stopsOf(text, await endTokensOf(text)),
    contextLength: tokens ?? usualContext(origin.run, text.config),
    system: system ?? (origin.run === null ? null : await systemMessage(origin.run)),
    license: license.text ?? license.name,
  });
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

function textOf({ model, run, chatTemplate }: GgufOrigin): Promise<ModelText> {
  return openText(model, { chatTemplate, enableThinking: run?.enable_thinking ?? null });
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
  { chatTemplate: choice }: GgufOrigin,
  { tokenizer, encoder }: ModelText,
): { text: string; named: Readonly<Record<string, string>> } | null {
  if (!encoder.hasChatTemplate) return null;
  const { named } = tokenizer.chatTemplates;
  return { text: chatTemplateSource(tokenizer, choice, false), named: choice === null ? named : {} };
}

/** Tokens that Ollama keeps where nobody says: more takes memory that a small machine lacks. */
const mostContext = 8192;

/** Tokens of prompt and answer that the run had at most, or of a model alone some; no more than the model takes. */
export function usualContext(run: RunConfig | null, config: ModelConfig): number {
  const { slidingWindow, layerKinds } = config;
  // on-policy, max_length bounds prompts alone
  const ofRun = run === null ? null : run.max_length + (isOnPolicy(run) ? run.max_completion_length : 0);
  if (ofRun !== null) return Math.min(contextLength(config), ofRun);
  const isWindow = slidingWindow !== null && !layerKinds.includes("full");
  return Math.min(contextLength(config), mostContext, isWindow ? slidingWindow : mostContext);
}

function notesOf({ run, lineage: { scale = 1 } }: GgufOrigin): string[] {
  const thinking = run?.enable_thinking ?? null;
  const part =
    scale === 1
      ? []
      : [`The file takes ${scale} of what was trained, which its key preftune.adapter_scale says.`];
  if (thinking === null) return part;
  return [
    ...part,
    `The run rendered its chats with enable_thinking ${thinking}. The file cannot say that: start llama-server with ` +
      `--chat-template-kwargs '{"enable_thinking":${thinking}}', and Ollama with --think=${thinking}.`,
  ];
}
