/**
 * The run configuration as a type: the keys of a run's YAML file, named as in TRL and PEFT.
 * Keys keep the file's snake_case, so that a name means the same in YAML, on the command line and in code.
 * What each key accepts, its default and where the default comes from stands in the `*-keys.ts` tables; those of
 * the methods in `src/methods`.
 */
import type { ColumnName } from "../base/column-names.ts";
import type { MethodKey, MethodSettings } from "../methods/index.ts";

/** Which columns of a file hold what: preftune's name of a column to the file's name of it. */
export type ColumnMapping = Partial<Record<ColumnName, string>>;

/** One source of rows. */
export interface DatasetSpec {
  /** A file, a directory, a glob or a hub id. */
  path: string;
  /** Share of this source in the mixture, relative to the other sources' weights. */
  weight: number;
  /** Columns of this source; null: the run's `columns`. */
  columns: ColumnMapping | null;
  /** Split of a hub data set or directory; null: the only one, or "train". */
  split: string | null;
  /** Configuration (subset) of a hub data set. */
  name: string | null;
}

/** Keys that say which model is trained and where. */
export interface ModelKeys {
  model_name_or_path: string;
  dtype: "auto" | "float32" | "bfloat16";
  device: string;
  threads: number | null;
  output_dir: string;
  run_name: string | null;
  seed: number;
}

/** Keys that say which rows are trained on. */
export interface DataKeys {
  train_data: DatasetSpec[];
  eval_data: DatasetSpec[] | null;
  eval_fraction: number;
  columns: ColumnMapping | null;
  max_train_rows: number | null;
  max_eval_rows: number | null;
  max_length: number;
  overflow: "error" | "drop" | "truncate";
  invalid_rows: "error" | "drop";
  plain_strings: "text" | "chat" | null;
  chat_template: string | null;
  enable_thinking: boolean | null;
  mask_tool_output: boolean;
  train_on: "all" | "last";
}

/** Keys of LoRA. */
export interface LoraKeys {
  use_peft: boolean;
  lora_r: number;
  lora_alpha: number;
  lora_dropout: number;
  lora_target_modules: string[] | "all-linear";
  lora_modules_to_save: string[];
  use_rslora: boolean;
  use_dora: boolean;
  adapter_name_or_path: string | null;
}

/** Keys of the optimiser and of how a step is cut. */
export interface OptimisationKeys {
  learning_rate: number;
  lr_scheduler_type: "linear" | "cosine" | "constant";
  warmup_ratio: number;
  warmup_steps: number;
  weight_decay: number;
  adam_beta1: number;
  adam_beta2: number;
  adam_epsilon: number;
  max_grad_norm: number;
  num_train_epochs: number;
  max_steps: number;
  per_device_train_batch_size: number;
  per_device_eval_batch_size: number;
  gradient_accumulation_steps: number;
  max_tokens_per_micro_batch: number | null;
  tokens_per_step: number | null;
  disable_dropout: boolean;
  gradient_checkpointing: boolean;
  gradient_checkpointing_blocks: number | null;
  activation_offloading: boolean;
  optimizer_in_backward: boolean;
  logits_chunk_size: number | null;
  logits_kept_mib: number | null;
  share_prompt: boolean;
  precompute_ref_log_probs: boolean;
  reference_cache_dir: string | null;
  max_nonfinite_steps: number;
  skip_step_sigma: number | null;
}

/** When something is done during training. */
export type Cadence = "no" | "steps" | "epoch";

/** Keys of logging, evaluation, checkpoints and export. */
export interface RecordKeys {
  logging_steps: number;
  log_entropy: boolean;
  eval_strategy: Cadence;
  eval_steps: number | null;
  eval_on_start: boolean;
  save_strategy: Cadence;
  save_steps: number;
  save_total_limit: number | null;
  load_best_model_at_end: boolean;
  metric_for_best_model: string;
  greater_is_better: boolean;
  early_stopping_patience: number | null;
  resume_from_checkpoint: string | null;
  export_merged: boolean;
  export_parity_tolerance: number;
}

/** How far each figure of the sampled answers may go from where it began; null: not judged. */
export interface WatchThresholds {
  repetition: number | null;
  ended_properly: number | null;
  distinct_2: number | null;
  self_bleu: number | null;
  malformed: number | null;
  length: number | null;
  chosen_down: number | null;
  chosen_fall: number | null;
}

/** Keys of the collapse watch. */
export interface WatchKeys {
  watch_prompts: string | null;
  watch_rows: number;
  watch_samples: number;
  watch_temperature: number;
  watch_max_new_tokens: number;
  watch_thresholds: WatchThresholds;
  watch_action: "warn" | "stop" | "restore";
}

/** The values that every run has, whatever its method. */
export interface CommonConfig
  extends ModelKeys,
    DataKeys,
    LoraKeys,
    OptimisationKeys,
    RecordKeys,
    WatchKeys {}

/** Every value of a run. A hyperparameter of another method than the run's is not there. */
export interface RunConfig extends CommonConfig {
  /** What is optimised: its name (`objective`), its preset and its hyperparameters. In YAML their keys stand among the others. */
  method: MethodSettings;
}

/** A key of a run's YAML file. */
export type ConfigKey = keyof CommonConfig | MethodKey;

/** Where a value came from. */
export type Provenance =
  | { kind: "default" }
  | { kind: "file"; file: string; line: number }
  | { kind: "command line" }
  | { kind: "code" }
  | { kind: "preset"; name: string }
  | { kind: "derived"; why: string };
