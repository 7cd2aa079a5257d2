/** Opens a model for generation: fetched, loaded with its adapters by name, with its tokenizer and chat template. */
import { basename } from "node:path";
import { at } from "../base/at.ts";
import { ConfigError, DataError } from "../base/errors.ts";
import type { PhaseListener } from "../base/phase-listener.ts";
import type { Stages } from "../base/stages.ts";
import { isGreedyAt } from "../base/temperature.ts";
import { warn } from "../base/warn.ts";
import { firstsFirst } from "../distributed/once-per-host.ts";
import type { RankGroup } from "../distributed/rank-group.ts";
import { tellGenerationDefaults } from "../formats/generation-defaults.ts";
import { contextLength, type ModelConfig } from "../formats/model-config.ts";
import type { Quantisation } from "../formats/quantisation.ts";
import { type EnvironmentOptions, settleEnvironment } from "../forward/environment.ts";
import type { Engine } from "../generate/engine.ts";
import { type EngineSource, openEngine } from "../generate/open-engine.ts";
import type { EngineLimits, GenerateEvent, GenerateRequest } from "../generate/request.ts";
import { withLocalModels } from "../hub/hub-model.ts";
import { checkAdaptedBase } from "../runs/adapted-base.ts";
import { tellOtherThinking } from "../runs/trained-thinking.ts";
import type { RowEncoder } from "../text/encode.ts";
import type { Message } from "../text/messages.ts";
import { openText } from "../text/open-text.ts";
import { promptWarnings, type SourceRow } from "../text/source-rows.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { tellOtherTemplate } from "../text/trained-template.ts";

/** The model, its adapters, and how prompts are encoded. */
export interface GenerationOptions extends EnvironmentOptions {
  model: string;
  /** Directories or hub ids, `NAME=DIR`, or "base" for the model without one; empty: the base alone. */
  adapters: readonly string[];
  /** Plain text is continued verbatim, without the chat template. */
  isPlain?: boolean;
  chatTemplate?: string | null;
  enableThinking?: boolean | null;
  /** What templates take as today; default: the day at hand, UTC. */
  now?: Date;
  /** How prompts will be sampled: of defaults in whose place it has others nothing is said. */
  sampling?: SamplingSettings;
  limits?: Partial<EngineLimits>;
  /** How the model's linears are held; default: as they are stored. */
  quantise?: Quantisation | null;
  onPhase?: PhaseListener;
  /** The ranks that open the same, each calling this: a model is fetched once on each host. Left out: this process is the only one. */
  group?: RankGroup | null;
  /** A stage ends with libtorch, the model's files, the tokenizer and the weights each. */
  stages?: Stages;
}

/** The base model, or the model with one of its adapters. */
export interface AdapterVariant {
  name: string;
  /** The adapter's name in requests; null for the base. */
  adapter: string | null;
}

/** How tokens are sampled: a request without its prompt. */
export type SamplingSettings = Omit<GenerateRequest, "promptIds" | "adapter" | "stopIds" | "continuesPrompt">;

/** A model ready to generate. Disposing of it frees it. */
export interface Generation extends Prompting {
  engine: Engine;
}

/** The text side of a model, and what its engine is opened from. */
export interface Prompting extends AsyncDisposable {
  source: EngineSource & { threads: number; config: ModelConfig };
  tokenizer: Tokenizer;
  encoder: RowEncoder;
  /** In the order given, at least one. */
  variants: readonly AdapterVariant[];
  /** Whether prompts go through a chat template. */
  isChat: boolean;
  /** Tokens that end a completion. */
  stopIds: ReadonlySet<number>;
  maxPositions: number;
  /** Tokens of a conversation up to where the completion begins; of plain text where there is no template. */
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
  await using opening = new AsyncDisposableStack();
  const prompting = opening.use(await openPrompting(options));
  const { engine } = opening.use(openEngine(prompting.source));
  options.stages?.end("weights");
  const open = opening.move();
  return { ...prompting, engine, [Symbol.asyncDispose]: () => open.disposeAsync() };
}

/** The same without the weights: finds or fetches the model and its adapters, and opens its tokenizer and chat template. */
export async function openPrompting(options: GenerationOptions): Promise<Prompting> {
  const wanted = parseVariants(options.adapters);
  const { device, dtype, threads } = settleEnvironment(options);
  options.stages?.end("libtorch");
  const { model, adapters } = await firstsFirst(options.group ?? null, () => localFiles(options, wanted));
  for (const { name } of wanted) {
    const adapter = adapters.get(name) ?? null;
    checkAdaptedBase({ model, adapter, quantise: options.quantise ?? null });
    tellOtherTemplate({ ...options, model, adapter });
    tellOtherThinking({ ...options, model, adapter });
  }
  tellGenerationDefaults(model, options.sampling && givenKeys(options.sampling));
  options.stages?.end("files");
  const {
    isPlain = false,
    limits = {},
    quantise = null,
    chatTemplate = null,
    enableThinking = null,
  } = options;
  await using opening = new AsyncDisposableStack();
  const text = opening.use(
    await openText(model, {
      chatTemplate,
      enableThinking,
      ...(options.now === undefined ? {} : { now: options.now }),
    }),
  );
  const { tokenizer, encoder, stopIds } = text;
  options.stages?.end("tokenizer and template");
  const encodeRow = async (row: SourceRow): Promise<number[]> => {
    const [outcome] = await encoder.encode([row]);
    if (outcome === undefined) throw new DataError("the prompt could not be encoded.");
    if ("error" in outcome) throw outcome.error;
    for (const text of promptWarnings(outcome.row.notes)) warn(text);
    return outcome.row.promptIds;
  };
  const open = opening.move();
  return {
    source: { model, tokenizer, adapters, device, dtype, limits, quantise, threads, config: text.config },
    tokenizer,
    encoder,
    variants: wanted.map(({ name, directory }) => ({ name, adapter: directory === null ? null : name })),
    isChat: encoder.hasChatTemplate && !isPlain,
    stopIds,
    maxPositions: contextLength(text.config),
    encode: (prompt) => encodeRow(rowOf(prompt)),
    encodeRow,
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}

/** The directories of the model and of the adapters by their names, fetched where they are not there. */
async function localFiles(
  { model: given, onPhase }: GenerationOptions,
  wanted: ReturnType<typeof parseVariants>,
): Promise<{ model: string; adapters: Map<string, string> }> {
  const search = onPhase === undefined ? {} : { onPhase };
  const { model } = await withLocalModels({ model: given, ...search });
  const adapters = new Map<string, string>();
  for (const { name, directory } of wanted) {
    if (directory === null) continue;
    const { adapter } = await withLocalModels({ model, adapter: directory, ...search });
    adapters.set(name, adapter);
  }
  return { model, adapters };
}

/** Keys of `generation_config.json` in whose place the settings have a value, or that have no effect under them. */
function givenKeys(sampling: SamplingSettings): Set<string> {
  const isGreedy = isGreedyAt(sampling.temperature);
  const given = {
    max_new_tokens: true,
    temperature: sampling.temperature !== 1,
    top_k: isGreedy || sampling.topK !== null,
    top_p: isGreedy || sampling.topP !== null,
    min_p: isGreedy || sampling.minP !== null,
    repetition_penalty: sampling.repetitionPenalty !== null,
  };
  return new Set(Object.entries(given).flatMap(([key, isGiven]) => (isGiven ? [key] : [])));
}

function rowOf(prompt: readonly Message[] | string): SourceRow {
  return typeof prompt === "string"
    ? { kind: "text", where: "the prompt", prompt, completions: [] }
    : { kind: "chat", where: "the prompt", prompt, continueFinalMessage: true, completions: [] };
}

/** Names and directories of the adapters as options name them; a null directory is the base. */
function parseVariants(options: readonly string[]): { name: string; directory: string | null }[] {
  const variants = (options.length === 0 ? [baseName] : options).map((option) => {
    if (option === baseName) return { name: baseName, directory: null };
    const named = /^([\w.-]+)=(.+)$/.exec(option);
    if (named !== null) return { name: at(named, 1), directory: at(named, 2) };
    return { name: basename(option), directory: option };
  });
  const names = variants.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (
    twice === undefined &&
    !variants.some(({ name, directory }) => name === baseName && directory !== null)
  ) {
    return variants;
  }
  throw new ConfigError(
    `--adapter: expected different names, and "${baseName}" for the model itself; "${twice ?? baseName}" is taken. ` +
      "Give each a different name: --adapter NAME=DIR.",
  );
}

/** One finished completion. */
export interface FinishedCompletion {
  text: string;
  reason: "stop" | "length";
  /** Tokens of the completion, without the one that ended it. */
  tokens: number;
}

/** Gathers the completions of a request from its events. */
export class CompletionCollector {
  readonly completions: FinishedCompletion[];

  constructor(n: number) {
    this.completions = Array.from({ length: n }, () => ({ text: "", reason: "length", tokens: 0 }));
  }

  /** Takes the request's next event. */
  add(event: GenerateEvent): void {
    if (event.type !== "token" && event.type !== "end") return;
    const completion = at(this.completions, event.answer);
    completion.text += event.text;
    if (event.type === "token") completion.tokens++;
    else completion.reason = event.reason;
  }
}
