/** Merging an adapter into its base model, with the parity gate. */
import { existsSync, readdirSync, realpathSync } from "node:fs";
import { join, sep } from "node:path";
import { codeVersion } from "../base/code-version.ts";
import { ConfigError, FileError, FormatError } from "../base/errors.ts";
import { isFolder } from "../base/open-file.ts";
import type { PhaseListener } from "../base/phase-listener.ts";
import { Random } from "../base/random.ts";
import { warn } from "../base/warn.ts";
import type { Example } from "../data/example.ts";
import { packExamples } from "../data/packing.ts";
import { assertPreflight } from "../data/preflight.ts";
import { isTunedModel, readAdapter } from "../formats/adapter.ts";
import { adapterPlace } from "../formats/adapter-scale.ts";
import { readModelConfig } from "../formats/hf-config.ts";
import type { ModelConfig, WeightDtype } from "../formats/model-config.ts";
import type { Quantisation } from "../formats/quantisation.ts";
import type { MicroBatch } from "../forward/batch.ts";
import { type EnvironmentOptions, settleEnvironment } from "../forward/environment.ts";
import { withLocalModels } from "../hub/hub-model.ts";
import { loadModel } from "../models/load.ts";
import { installAdapter } from "../models/load-adapter.ts";
import { loadRewardModel } from "../models/load-reward-model.ts";
import { quantisedLinears } from "../planner/parameter-counts.ts";
import { heldModel } from "../planner/plan-input.ts";
import { checkAdaptedBase } from "../runs/adapted-base.ts";
import type { ParityResult } from "../runs/train-events.ts";
import { openText } from "../text/open-text.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import { broughtTemplate } from "../text/trained-template.ts";
import { scope } from "../torch/index.ts";
import { exportModel, refuseTextOnly } from "../train/export.ts";
import { writeMergeCard } from "../train/merge-card.ts";
import { checkMerged, type MergeGate, type MergeMeasure } from "../train/merge-gate.ts";
import { paddingTokenOf } from "../train/padding-token.ts";
import { prepareData, rowsOf } from "../train/prepare-data.ts";
import { isRewardModel } from "./score-rewards.ts";

/** What to merge, and where to. */
export interface MergeOptions extends Omit<EnvironmentOptions, "dtype"> {
  model: string;
  /** Directory or hub id of an adapter, of which `DIR@scale=0.4` merges 0.4; or `DIR@scale=0.4` of a model that was tuned from `model`. */
  adapter: string;
  /** Must not exist or be empty, unless it is replaced. */
  output: string;
  /** Replace the model at `output`, once the merged one is complete and checked; default false. */
  replace?: boolean;
  /** Of a multimodal base: write the text model alone; default false: what else it has is carried over as it is. */
  textOnly?: boolean;
  /** Type of the written weights; default: the base checkpoint's. */
  exportDtype?: WeightDtype | null;
  /** Held-out preference rows for the gate; default: sequences of random tokens. */
  data?: string | null;
  /** How the base's linears were held when the adapter was trained; default: as they are stored. They are written as floats. */
  quantise?: Quantisation | null;
  /** Largest difference of a token's log-prob in a float32 export, nats. */
  tolerance?: number;
  onPhase?: PhaseListener;
  /** Called as the writing begins and before the directory is put in place; what it throws leaves nothing written. */
  onWrite?: () => void;
}

/** What merging came to. */
export type MergeResult = ParityResult &
  MergeMeasure & {
    /** Bytes of the blocks' linears as they were held, and as they are written; null where they were floats. */
    fromFewerBits: { held: number; written: number } | null;
  };

const parityRows = 16;

/**
 * Writes a Hugging Face directory of base and adapter merged, or of a part of a full tuning, once rows were re-scored with exactly the
 * written files.
 *
 * @throws {FileError} if the target is occupied, or is to be replaced and holds no model
 * @throws {FormatError} if they do not score as base and adapter do; the target is then as it was
 */
export async function merge(given: MergeOptions): Promise<MergeResult> {
  const options = await withLocalModels(given);
  const { output, replace = false, textOnly = false, model: baseDir, tolerance = 1e-4 } = options;
  refuseTarget(output, replace, [baseDir, adapterPlace(options.adapter).place]);
  checkAdaptedBase(options);
  // a tuned model has its own settings and tokenizer
  const dir = isTunedModel(options.adapter) ? adapterPlace(options.adapter).place : baseDir;
  const config = readModelConfig(dir);
  if (textOnly && !config.isMultimodalText) refuseTextOnly(dir, "--text-only");
  // the gate compares in float32, whatever the machine would compute in
  const { device } = settleEnvironment({ ...options, dtype: "float32" });
  const tokenizer = loadTokenizer(dir);
  const chatTemplate = templateOf(options.adapter, dir);
  const scores = isRewardModel(baseDir, options.adapter);
  const batches = await gateBatches(options, config, scores);
  using _ = scope();
  const padTokenId = paddingTokenOf({ tokenizer, modelConfig: config, stopIds: new Set(config.eosTokenIds) });
  const { model, ofBase } = opened(options, device, scores ? { padTokenId } : null);
  const dtype = options.exportDtype ?? config.dtype;
  const { scale } = adapterPlace(options.adapter);
  const named = { base: given.model, adapter: adapterPlace(given.adapter).place, scale, baseDir };
  const measured: { merge?: MergeMeasure } = {};
  const check = (directory: string): void => {
    measured.merge = checkMerged(directory, { model, ofBase, batches, dtype, tolerance, output });
    writeMergeCard(directory, { ...named, dtype, version: codeVersion() }, measured.merge);
    options.onWrite?.();
  };
  options.onWrite?.();
  const written = { tokenizer, chatTemplate, stopIds: await stopIdsOf(dir, chatTemplate) };
  await exportModel(output, { model, ...written, baseDir: dir, dtype, textOnly, replace, check });
  const fromFewerBits = costOf(heldModel(dir, config, options.quantise ?? null), dtype);
  return {
    kind: "model",
    path: output,
    dtype,
    tolerance,
    ...(measured.merge as MergeMeasure),
    ...(scale === 1 ? {} : { scale }),
    fromFewerBits,
  };
}

/** The chat template that an adapter brings along, where it is another than the base's; null: there is none, or it is the same. */
function templateOf(adapter: string, directory: string): string | null {
  const { place } = adapterPlace(adapter);
  const own = isTunedModel(adapter) ? null : broughtTemplate(adapter, directory);
  if (own === null) return null;
  warn(`${place}: the merged model gets its chat template, which is another than that of ${directory}.`);
  return own;
}

/** The tokens that end an answer; none where that cannot be found out, as with a template that fails: merging needs none. */
async function stopIdsOf(dir: string, chatTemplate: string | null): Promise<ReadonlySet<number>> {
  try {
    await using text = await openText(dir, { chatTemplate });
    return text.stopIds;
  } catch (error) {
    if (error instanceof FormatError) return new Set();
    throw error;
  }
}

/** Base with what was trained in it, and how the base alone is scored. @param reward - null: a language model */
function opened(
  { model: dir, adapter: place, quantise = null }: MergeOptions,
  device: string,
  reward: { padTokenId: number | null } | null,
): Pick<MergeGate, "model" | "ofBase"> {
  const load = { device, dtype: "float32", quantise } as const;
  if (isTunedModel(place)) {
    const model = loadModel(dir, { ...load, adapter: place });
    return { model, ofBase: (score) => score(loadModel(dir, load)) };
  }
  const model =
    reward === null ? loadModel(dir, load) : loadRewardModel(dir, { ...load, newScore: "normal", ...reward });
  const adapter = installAdapter(model, readAdapter(place));
  const ofBase: MergeGate["ofBase"] = (score) => {
    adapter.switch.enabled = false;
    const base = score(model);
    adapter.switch.enabled = true;
    return base;
  };
  return { model, ofBase };
}

/** What de-quantising costs on the disk. */
function costOf(model: ModelConfig, dtype: WeightDtype): MergeResult["fromFewerBits"] {
  const { weights, bytes } = quantisedLinears(model);
  return weights === 0 ? null : { held: bytes, written: weights * (dtype === "float32" ? 4 : 2) };
}

/** Refuses, before anything is computed, a target that is there and is not to be replaced, or must not be. */
function refuseTarget(output: string, replace: boolean, sources: readonly string[]): void {
  if (!isFolder(output) || readdirSync(output).length === 0) return;
  if (!replace) {
    throw new FileError(
      `${output}: expected a new or an empty directory, it is there and not empty. It is kept as it is. ` +
        "Choose another one with --output, or replace it: --replace",
    );
  }
  const real = realpathSync(output);
  const source = sources.find((path) => `${realpathSync(path)}${sep}`.startsWith(`${real}${sep}`));
  if (source !== undefined) {
    throw new FileError(
      `${output}: it holds ${source}, of which the merged model is made. Choose another --output.`,
    );
  }
  if (!existsSync(join(output, "config.json"))) {
    throw new FileError(
      `${output}: expected a model to replace, with config.json, there is none. It is kept as it is. Check the path.`,
    );
  }
}

async function gateBatches(
  options: MergeOptions,
  config: ModelConfig,
  scores: boolean,
): Promise<MicroBatch[]> {
  const examples = options.data ? await heldOut(options, options.data) : randomExamples(config);
  return examples.map((example, i) => ({ packed: packExamples([example], { scores }), indices: [i] }));
}

async function heldOut(options: MergeOptions, path: string): Promise<Example[]> {
  const { dataset } = await prepareData(
    rowsOf(path, {
      model_name_or_path: options.model,
      task: "preference",
      max_train_rows: parityRows,
      overflow: "drop",
      invalid_rows: "drop",
    }),
  );
  assertPreflight(dataset.report);
  if (dataset.examples.length === 0)
    throw new ConfigError(`${path}: no row can be used to check the merged model`);
  return dataset.examples;
}

/** Sequences that any model of this vocabulary can score. */
export function randomExamples(config: ModelConfig): Example[] {
  const random = new Random(1);
  const ids = (count: number) => Array.from({ length: count }, () => random.below(config.vocabSize));
  return Array.from({ length: 4 }, (_, i) => ({
    origin: { file: "random tokens", line: i + 1 },
    promptIds: ids(8),
    completions: [{ ids: ids(24) }, { ids: ids(16) }],
  }));
}
