/** From a configuration to what training works on: tokenised data, and the model with what it trains. */
import { ConfigError } from "../base/errors.ts";
import { checkColumnMap } from "../data/columns.ts";
import { type Dataset, prepareDataset } from "../data/dataset.ts";
import type { WeightedSource } from "../data/mixing.ts";
import { readAdapter } from "../formats/adapter.ts";
import type { AdapterConfig } from "../formats/adapter-config.ts";
import { readModelConfig } from "../formats/hf-config.ts";
import type { ModelConfig } from "../formats/model-config.ts";
import { type Adapter, addAdapter } from "../models/adapt.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import { loadModel } from "../models/load.ts";
import { installAdapter } from "../models/load-adapter.ts";
import type { NamedParameter } from "../optim/adamw.ts";
import type { DatasetSpec, RunConfig } from "../runs/config-types.ts";
import type { Task } from "../data/rows.ts";
import { createRowEncoder, type RowEncoder } from "../text/encode.ts";
import { loadTokenizer, type Tokenizer } from "../text/tokenizer.ts";
import type { Environment } from "./environment.ts";
import { adapterParameters, trainAll } from "./parameters.ts";

/** Keys that say which rows are read and how they become tokens. */
export type DataSelection = Pick<
  RunConfig,
  | "model_name_or_path"
  | "train_data"
  | "eval_data"
  | "eval_fraction"
  | "columns"
  | "max_train_rows"
  | "max_eval_rows"
  | "max_length"
  | "overflow"
  | "chat_template"
  | "enable_thinking"
  | "train_on"
  | "seed"
> & {
  /** What rows are read as. */
  task: Task;
  /** What templates take as today; default: today. */
  now?: Date;
};

/** Tokenised data and what it was tokenised with. */
export interface PreparedData {
  dataset: Dataset;
  tokenizer: Tokenizer;
  modelConfig: ModelConfig;
  /** Hash of tokenizer, template and policy. */
  textFingerprint: string;
}

/**
 * Reads and tokenises the rows that `selection` names. Faults of rows are in `dataset.report`, not thrown.
 *
 * @param onPhase - told how many rows are done
 */
export async function prepareData(
  selection: DataSelection,
  onPhase: (label: string, done: number, total: number | null) => void = () => {},
): Promise<PreparedData> {
  const modelConfig = readModelConfig(selection.model_name_or_path);
  const tokenizer = loadTokenizer(selection.model_name_or_path);
  await using encoder = createRowEncoder(tokenizer, {
    chatTemplate: selection.chat_template,
    enableThinking: selection.enable_thinking,
    trainOn: selection.train_on,
    eosTokenIds: modelConfig.eosTokenIds,
    ...(selection.now === undefined ? {} : { now: selection.now }),
  });
  const sources = (specs: readonly DatasetSpec[]) => sourcesOf(specs, selection.columns);
  const dataset = await prepareDataset({
    sources: sources(selection.train_data),
    ...(selection.eval_data === null ? {} : { evalSources: sources(selection.eval_data) }),
    evalFraction: selection.eval_fraction,
    task: selection.task,
    encoder,
    facts: {
      vocabSize: modelConfig.vocabSize,
      bosTokenId: tokenizer.bosTokenId,
      endTokenIds: await endTokens(tokenizer, encoder, { modelConfig, chatTemplate: selection.chat_template }),
    },
    seed: selection.seed,
    maxLength: selection.max_length,
    overflow: selection.overflow,
    maxRows: selection.max_train_rows,
    maxEvalRows: selection.max_eval_rows,
    onProgress: (rows) => onPhase("rows tokenised", rows, null),
  });
  return { dataset, tokenizer, modelConfig, textFingerprint: encoder.fingerprint() };
}

async function endTokens(
  tokenizer: Tokenizer,
  encoder: RowEncoder,
  { modelConfig, chatTemplate }: { modelConfig: ModelConfig; chatTemplate: string | null },
): Promise<number[]> {
  const ids = new Set(modelConfig.eosTokenIds);
  if (tokenizer.eosTokenId !== null) ids.add(tokenizer.eosTokenId);
  const chats = chatTemplate !== null || tokenizer.chatTemplates.default !== null;
  if (chats) for (const id of (await encoder.chatFormat()).stopIds) ids.add(id);
  return [...ids];
}

/** The sources as the data layer takes them; equal weights of 1 mean "all rows", as when none was given. */
function sourcesOf(specs: readonly DatasetSpec[], shared: RunConfig["columns"]): WeightedSource[] {
  const weighted = specs.some((spec) => spec.weight !== 1);
  return specs.map((spec) => {
    const columns = spec.columns ?? shared;
    const folder = spec.name === null ? "" : `/${spec.name}`;
    const split = spec.split === null ? "" : `:${spec.split}`;
    return {
      path: `${spec.path}${folder}${split}`,
      ...(columns === null ? {} : { columns: checkColumnMap(columns) }),
      ...(weighted ? { weight: spec.weight } : {}),
    };
  });
}

/** Keys that say what is trained. */
export type TrainedSelection = Pick<
  RunConfig,
  | "model_name_or_path"
  | "use_peft"
  | "lora_r"
  | "lora_alpha"
  | "lora_dropout"
  | "lora_target_modules"
  | "lora_modules_to_save"
  | "use_rslora"
  | "use_dora"
  | "adapter_name_or_path"
  | "disable_dropout"
>;

/** A model and the tensors of it that are trained. */
export interface TrainedModel {
  model: CausalLM;
  adapter: Adapter | null;
  parameters: readonly NamedParameter[];
}

/**
 * Loads the model and marks what is trained: an adapter (new, or the one to go on from), or every weight in float32.
 * A new adapter draws from torch's generator: seed it before.
 */
export function prepareModel(selection: TrainedSelection, environment: Environment): TrainedModel {
  const { device, dtype } = environment;
  const dir = selection.model_name_or_path;
  if (!selection.use_peft) {
    if (selection.adapter_name_or_path !== null) {
      throw new ConfigError("adapter_name_or_path needs use_peft: true, or merge the adapter first: preftune merge");
    }
    const model = loadModel(dir, { device, dtype: "float32", copy: true });
    return { model, adapter: null, parameters: trainAll(model) };
  }
  const model = loadModel(dir, { device, dtype });
  const adapter = adapterOf(model, selection);
  return { model, adapter, parameters: adapterParameters(model) };
}

function adapterOf(model: CausalLM, selection: TrainedSelection): Adapter {
  const dropout = selection.disable_dropout ? 0 : selection.lora_dropout;
  if (selection.adapter_name_or_path !== null) {
    const files = readAdapter(selection.adapter_name_or_path);
    return installAdapter(model, { ...files, config: { ...files.config, dropout } });
  }
  const targets = selection.lora_target_modules;
  const config: AdapterConfig = {
    rank: selection.lora_r,
    alpha: selection.lora_alpha,
    dropout,
    targetModules: targets === "all-linear" ? [] : targets,
    useRslora: selection.use_rslora,
    useDora: selection.use_dora,
    modulesToSave: selection.lora_modules_to_save,
    baseModel: selection.model_name_or_path,
    bias: "none",
    rankPattern: {},
    alphaPattern: {},
    raw: {},
  };
  const adapter = addAdapter(model, config, targets);
  // PEFT resolves "all-linear" the same way before it saves
  const names = new Set(adapter.targets.map((path) => path.split(".").at(-1) as string));
  return { ...adapter, config: { ...config, targetModules: targets === "all-linear" ? [...names] : targets } };
}
