/** How much the quick start does: in full, and in a form that only shows that everything works. */
import type { ModelShape } from "./base-model.ts";
import type { DataOptions } from "./toy-data.ts";

/** Sizes of data and model, and how SFT trains. The preference stages are in `recipes/quickstart.yaml`. */
export interface ToySize {
  data: Omit<DataOptions, "seed">;
  shape: ModelShape;
  answersPerPrompt: number;
  /** Values of the SFT stage's configuration. */
  sft: Readonly<Record<string, unknown>>;
}

const sft = {
  // so small a model gains next to nothing from more threads or an accelerator, and threads that share busy cores wait long
  device: "cpu",
  threads: 1,
  dtype: "float32",
  max_length: 128,
  learning_rate: 3e-3,
  lr_scheduler_type: "cosine",
  warmup_ratio: 0.1,
  adam_beta2: 0.98,
  per_device_train_batch_size: 16,
  num_train_epochs: 4,
  logging_steps: 10,
  save_strategy: "no",
};

/** The quick start as it is meant. */
export const fullSize: ToySize = {
  data: { sftRows: 3000, trainPairs: 1600, evalPairs: 160, flawedShare: 0.65 },
  shape: { hiddenSize: 128, intermediateSize: 256, layers: 3, heads: 4, keyValueHeads: 2 },
  answersPerPrompt: 2,
  sft,
};

/** A few steps of a very small model. */
export const fastSize: ToySize = {
  data: { sftRows: 96, trainPairs: 48, evalPairs: 12, flawedShare: 0.65 },
  shape: { hiddenSize: 32, intermediateSize: 64, layers: 2, heads: 2, keyValueHeads: 1 },
  answersPerPrompt: 1,
  sft: { ...sft, num_train_epochs: 1, logging_steps: 2 },
};
