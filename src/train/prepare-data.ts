/** From a configuration to tokenised data. Needs no libtorch. */
import type { PhaseListener } from "../base/phase-listener.ts";
import { DATA_KEYS } from "../config/data-keys.ts";
import { type DatasetSpec, sourcePath } from "../config/datasets.ts";
import { defaultsOf } from "../config/keys.ts";
import type { RunConfig } from "../config/run-config.ts";
import { checkColumnMap } from "../data/columns.ts";
import { type Dataset, type DatasetOptions, prepareDataset } from "../data/dataset.ts";
import type { LabelWeights } from "../data/labels.ts";
import type { WeightedSource } from "../data/mixing.ts";
import type { Task } from "../data/rows.ts";
import { contextLength, type ModelConfig } from "../formats/model-config.ts";
import type { Over } from "../methods/method.ts";
import type { TemplateUse } from "../text/encode.ts";
import { type ModelText, openText } from "../text/open-text.ts";
import { keyReader, templateGiven, templatesInUse } from "../text/template-source.ts";
import type { WrittenTokenizer } from "./copy-tokenizer.ts";

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
  | "invalid_rows"
  | "plain_strings"
  | "chat_template"
  | "enable_thinking"
  | "mask_tool_output"
  | "train_on"
  | "unpair"
  | "rating_threshold"
  | "seed"
> & {
  /** What rows are read as. */
  task: Task;
  /** What templates take as today; default: today. */
  now?: Date;
  /** The method that the rows are for, whose weights of labels the check compares with their counts. */
  method?: RunConfig["method"];
  /** Keep what truncation takes from long rows, to show it. */
  keepUncut?: boolean;
  /** See `DatasetOptions.isMeasured`. */
  isMeasured?: boolean;
};

const tasks: Readonly<Record<Over, Task>> = {
  pairs: "preference",
  scores: "reward",
  labelled: "labelled",
  completions: "sft",
  groups: "sft",
};

/** What rows are read as for an objective over pairs, their scores, or single completions; of an on-policy run as prompts. */
export function taskOf(over: Over, isOnPolicy: boolean): Task {
  return isOnPolicy ? "prompt" : tasks[over];
}

/**
 * The rows of one file, directory or hub id alone, none held out; `keys` say how they are read, where that is not by
 * default.
 */
export function rowsOf(
  path: string,
  keys: Pick<DataSelection, "model_name_or_path" | "task"> & Partial<DataSelection>,
): DataSelection {
  const all = Object.keys(DATA_KEYS) as (keyof typeof DATA_KEYS)[];
  return {
    ...defaultsOf([...all, "seed"]),
    ...keys,
    train_data: [{ path, weight: null, columns: null, split: null, name: null }],
    eval_data: null,
    eval_fraction: 0,
  };
}

/** Tokenised data and what it was tokenised with. */
export interface PreparedData extends WrittenTokenizer {
  dataset: Dataset;
  modelConfig: ModelConfig;
  /** Tokens that end an answer. */
  stopIds: ReadonlySet<number>;
  /** Hash of tokenizer, template and policy. */
  textFingerprint: string;
  /** The chat templates that rows went through. */
  templates: TemplateUse[];
}

/**
 * Reads and tokenises the rows that `selection` names. Faults of rows are in `dataset.report`, not thrown.
 *
 * @param onPhase - called with how many rows are done
 */
export async function prepareData(
  selection: DataSelection,
  onPhase: PhaseListener = () => {},
): Promise<PreparedData> {
  onPhase("rows tokenised", 0, null);
  await using text = await textOf(selection);
  const dataset = await prepareDataset(datasetOptions(selection, text, onPhase));
  const { config: modelConfig, tokenizer, encoder, stopIds } = text;
  return {
    ...{ dataset, tokenizer, modelConfig, stopIds },
    chatTemplate: templateGiven(tokenizer, selection.chat_template),
    textFingerprint: encoder.fingerprint(),
    templates: encoder.templates(),
  };
}

/** What turns the rows of `selection` into tokens. Dispose of it when done. */
export function textOf(selection: DataSelection): Promise<ModelText> {
  return openText(selection.model_name_or_path, {
    chatTemplate: selection.chat_template,
    enableThinking: selection.enable_thinking,
    trainOn: selection.train_on,
    maskToolOutput: selection.mask_tool_output,
    ...(selection.now === undefined ? {} : { now: selection.now }),
  });
}

/** Which rows are read, and how, by `selection`. */
export function datasetOptions(
  selection: DataSelection,
  { config: modelConfig, tokenizer, encoder, stopIds }: ModelText,
  onPhase: PhaseListener,
): DatasetOptions {
  const sources = (specs: readonly DatasetSpec[]) => sourcesOf(specs, selection.columns);
  return {
    sources: sources(selection.train_data),
    ...(selection.eval_data === null ? {} : { evalSources: sources(selection.eval_data) }),
    eval_fraction: selection.eval_fraction,
    task: selection.task,
    encoder,
    facts: {
      vocabSize: modelConfig.vocabSize,
      bosTokenId: tokenizer.bosTokenId,
      stopIds,
      hasChatTemplate: encoder.hasChatTemplate,
    },
    readsMessageKey: keyReader(templatesInUse(tokenizer, selection.chat_template)),
    seed: selection.seed,
    max_length: selection.max_length,
    context: contextLength(modelConfig),
    overflow: selection.overflow,
    keepUncut: selection.keepUncut ?? false,
    invalid_rows: selection.invalid_rows,
    plain_strings: selection.plain_strings,
    unpair: selection.unpair,
    rating_threshold: selection.rating_threshold,
    labelWeights: labelWeightsOf(selection.method),
    isMeasured: selection.isMeasured ?? false,
    max_train_rows: selection.max_train_rows,
    max_eval_rows: selection.max_eval_rows,
    onProgress: ({ stage, meter }) =>
      onPhase(stage === "count" ? "rows counted" : "rows tokenised", meter.rows, null, meter.note),
  };
}

/** The weights of good and bad answers; null where the method has none. */
function labelWeightsOf(method: DataSelection["method"]): LabelWeights | null {
  if (method === undefined || !("desirable_weight" in method)) return null;
  const { desirable_weight, undesirable_weight } = method;
  return { desirable_weight, undesirable_weight };
}

/** The sources as the data layer takes them. */
export function sourcesOf(specs: readonly DatasetSpec[], shared: RunConfig["columns"]): WeightedSource[] {
  return specs.map((spec) => {
    const columns = spec.columns ?? shared;
    return {
      path: sourcePath(spec),
      ...(columns === null ? {} : { columns: checkColumnMap(columns) }),
      ...(spec.weight === null ? {} : { weight: spec.weight }),
    };
  });
}
