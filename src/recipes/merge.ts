/** Merging an adapter into its base model, with the parity gate. */
import { ConfigError } from "../base/errors.ts";
import { Random } from "../base/random.ts";
import type { Example } from "../data/example.ts";
import { packExamples } from "../data/packing.ts";
import { assertPreflight } from "../data/preflight.ts";
import { readAdapter } from "../formats/adapter.ts";
import { readModelConfig } from "../formats/hf-config.ts";
import type { ModelConfig, WeightDtype } from "../formats/model-config.ts";
import { loadModel } from "../models/load.ts";
import { installAdapter } from "../models/load-adapter.ts";
import { loadTokenizer } from "../text/tokenizer.ts";
import { scope } from "../torch/index.ts";
import { type EnvironmentOptions, settleEnvironment } from "../train/environment.ts";
import { checkParity, exportModel, type ParityResult } from "../train/export.ts";
import { prepareData } from "../train/prepare-data.ts";
import type { MicroBatch } from "../train/step.ts";
import { withLocalModels } from "./local-models.ts";
import type { PhaseListener } from "./train-events.ts";

/** What to merge, and where to. */
export interface MergeOptions extends EnvironmentOptions {
  model: string;
  adapter: string;
  /** Must not exist or be empty. */
  output: string;
  /** Type of the written weights; default: the base checkpoint's. */
  exportDtype?: WeightDtype | null;
  /** Held-out preference rows for the gate; default: sequences of random tokens. */
  data?: string | null;
  /** Largest difference of a token's log-prob in a float32 export, nats. */
  tolerance?: number;
  onPhase?: PhaseListener;
}

const parityRows = 16;

/**
 * Writes a Hugging Face directory of base and adapter merged, and re-scores rows with exactly the written files.
 *
 * @throws {FormatError} if they do not score as base and adapter do
 */
export async function merge(given: MergeOptions): Promise<ParityResult> {
  const options = await withLocalModels(given);
  const config = readModelConfig(options.model);
  const files = readAdapter(options.adapter);
  // the gate compares in float32, whatever the machine would compute in
  const { device } = settleEnvironment(options);
  const tokenizer = loadTokenizer(options.model);
  const batches = await gateBatches(options, config);
  using _ = scope();
  const model = loadModel(options.model, { device, dtype: "float32" });
  installAdapter(model, files);
  const dtype = options.exportDtype ?? config.dtype;
  await exportModel(options.output, { model, tokenizer, baseDir: options.model, dtype });
  return checkParity({
    kind: "model",
    path: options.output,
    baseDir: options.model,
    model,
    batches,
    numerics: { dtype: "float32", recompute: false, chunkColumns: null },
    dtype,
    tolerance: options.tolerance ?? 1e-4,
  });
}

async function gateBatches(options: MergeOptions, config: ModelConfig): Promise<MicroBatch[]> {
  const examples = options.data ? await heldOut(options, options.data) : randomExamples(config);
  return examples.map((example, i) => ({ packed: packExamples([example]), indices: [i] }));
}

async function heldOut(options: MergeOptions, path: string): Promise<Example[]> {
  const { dataset } = await prepareData({
    model_name_or_path: options.model,
    train_data: [{ path, weight: 1, columns: null, split: null, name: null }],
    eval_data: null,
    eval_fraction: 0,
    columns: null,
    max_train_rows: parityRows,
    max_eval_rows: null,
    max_length: 1024,
    overflow: "drop",
    invalid_rows: "drop",
    plain_strings: null,
    chat_template: null,
    enable_thinking: null,
    mask_tool_output: true,
    train_on: "all",
    seed: 42,
    task: "preference",
  });
  assertPreflight(dataset.report);
  if (dataset.examples.length === 0)
    throw new ConfigError(`${path}: no row can be used to check the merged model`);
  return dataset.examples;
}

/** Sequences that any model of this vocabulary can score. */
function randomExamples(config: ModelConfig): Example[] {
  const random = new Random(1);
  const ids = (count: number) => Array.from({ length: count }, () => random.below(config.vocabSize));
  return Array.from({ length: 4 }, (_, i) => ({
    origin: { file: "random tokens", line: i + 1 },
    promptIds: ids(8),
    completions: [{ ids: ids(24) }, { ids: ids(16) }],
  }));
}
