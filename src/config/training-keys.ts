/** Configuration keys of optimisation, batches, memory, logging, checkpoints and export (a table). */
import type { ValueOf } from "../base/value-schema.ts";
import { type MethodName, methodsWhere } from "../methods/index.ts";
import { learningRates } from "./method-keys.ts";

/** Methods that may need log-probs of a reference on rows. */
const referenceMethods: MethodName[] = methodsWhere(
  ({ needsReference, keys }) => needsReference || "lambda_start" in keys,
);

const SCALE_RULE = {
  type: "object",
  properties: {
    max: { enum: ["margin", "chosen", "accuracy"], default: "margin" },
    chosen_min: { type: ["number", "null"], default: 0 },
    drift_max: { type: ["number", "null"], minimum: 0, default: null },
    tail_min: { type: ["number", "null"], maximum: 0, default: null },
  },
  additionalProperties: false,
  default: {},
} as const;

/** What of its training a run exports where it chooses that itself. */
export type FinalScaleRule = ValueOf<typeof SCALE_RULE>;

/** Keys of the optimiser and of how a step is cut. */
export const OPTIMISATION_KEYS = {
  learning_rate: {
    schema: { type: "number", minimum: 0 },
    rule: `1e-4 with use_peft; else ${learningRates()}` as string,
    doc: "Peak learning rate of AdamW.",
    source: "LoRA: SLIME paper; full tuning: TRL",
  },
  optim: {
    schema: { enum: ["adamw_torch_fused", "adamw_bf16", "adamw_8bit"], default: "adamw_torch_fused" },
    doc: "The optimiser: AdamW with its two averages in float32 (8 bytes a trained weight), in bfloat16 rounded at random (4), or in 8 bits, in blocks of 256 as bitsandbytes stores them (2.03). Tensors of fewer than 4,096 weights keep float32.",
    source: "transformers; adamw_bf16 is preftune's",
  },
  lr_scheduler_type: {
    schema: { enum: ["linear", "cosine", "constant", "constant_with_warmup"], default: "linear" },
    doc: "Course of the learning rate after warm-up: down to 0 in a line, in half a cosine, or level (constant_with_warmup); constant is level from the first step, without warm-up.",
    source: "TRL",
  },
  warmup_ratio: {
    schema: { type: "number", minimum: 0, maximum: 1, default: 0 },
    doc: "Fraction of the steps in which the learning rate rises from 0. Give this or warmup_steps.",
    source: "TRL",
  },
  warmup_steps: {
    schema: { type: "integer", minimum: 0, default: 0 },
    expected: "a whole number at least 0 (for a fraction of the steps write warmup_ratio)" as string,
    doc: "Steps in which the learning rate rises from 0. Give this or warmup_ratio.",
    source: "TRL",
  },
  weight_decay: {
    schema: { type: "number", minimum: 0, default: 0 },
    doc: "Decoupled weight decay; biases and norm weights are exempt.",
    source: "TRL",
  },
  adam_beta1: {
    schema: { type: "number", minimum: 0, exclusiveMaximum: 1, default: 0.9 },
    doc: "AdamW beta1.",
    source: "TRL",
  },
  adam_beta2: {
    schema: { type: "number", minimum: 0, exclusiveMaximum: 1, default: 0.999 },
    doc: "AdamW beta2.",
    source: "TRL",
  },
  adam_epsilon: {
    schema: { type: "number", exclusiveMinimum: 0, default: 1e-8 },
    doc: "AdamW epsilon.",
    source: "TRL",
  },
  max_grad_norm: {
    schema: { type: "number", minimum: 0, default: 1 },
    doc: "Gradients are scaled down to this norm; 0 switches clipping off.",
    source: "TRL",
  },
  num_train_epochs: {
    schema: { type: "number", exclusiveMinimum: 0, default: 1 },
    doc: "Passes over the training rows; may be a fraction.",
    source: "papers of the methods; TRL has 3",
  },
  max_steps: {
    schema: {
      anyOf: [
        { type: "integer", minimum: -1, maximum: -1 },
        { type: "integer", minimum: 1 },
      ],
      default: -1,
    },
    expected: "-1 (train by epochs) or a whole number of at least 1",
    doc: "Optimiser steps; above 0 it takes the place of num_train_epochs.",
    source: "TRL",
  },
  train_batch_size: {
    schema: { type: ["integer", "null"], minimum: 1, default: null },
    doc: "Rows (pairs) of an optimiser step, on all ranks together; cut into micro-batches of per_device_train_batch_size, of which the last may be smaller. null: per_device_train_batch_size × gradient_accumulation_steps × ranks, settled when the run first starts: resumed on another number of ranks it keeps its rows.",
    source: "DeepSpeed's name",
  },
  per_device_train_batch_size: {
    schema: { type: "integer", minimum: 1, default: 8 },
    doc: "Rows (pairs) per micro-batch at most.",
    source: "TRL",
  },
  per_device_eval_batch_size: {
    schema: { type: "integer", minimum: 1 },
    rule: "per_device_train_batch_size",
    doc: "Rows per batch in evaluation.",
    source: "TRL has 8",
    freeOnResume: true,
  },
  gradient_accumulation_steps: {
    schema: { type: "integer", minimum: 1, default: 1 },
    doc: "Micro-batches per optimiser step, on each rank; follows from train_batch_size where that is given. The loss does not depend on the cut.",
    source: "TRL",
  },
  max_tokens_per_micro_batch: {
    schema: { type: ["integer", "null"], minimum: 1, default: null },
    doc: "Cap on the tokens of a micro-batch, beside that on its rows (with tokens_per_step in place of it); a larger one is cut further, which changes memory and not the result, unless the loss is of micro-batches (loss_type: bnpo, preset: reference-compat).",
    freeOnResume: true,
  },
  tokens_per_step: {
    schema: { type: ["integer", "null"], minimum: 1, default: null },
    doc: "Tokens per optimiser step, on all ranks together, in place of rows: rows are taken until the budget is full.",
  },
  disable_dropout: {
    schema: { type: "boolean", default: false },
    doc: "Switch all dropout off, LoRA's too.",
    source:
      "as TRL for grpo and rloo; true in its other trainers but sft's, which train adapters without dropout",
  },
  gradient_checkpointing: {
    schema: { type: "boolean", default: false },
    doc: "Keep one activation per block and recompute the rest in the backward pass: less memory, about a third more time.",
    source: "TRL has true",
    freeOnResume: true,
  },
  gradient_checkpointing_blocks: {
    schema: { type: ["integer", "null"], minimum: 1, default: null },
    doc: "How many blocks, counted from the first trained one, gradient_checkpointing computes again; null: all.",
    freeOnResume: true,
  },
  activation_offloading: {
    schema: { type: "boolean", default: false },
    doc: "With gradient_checkpointing on a GPU: what a block needs to be computed again waits in the computer's memory.",
    source: "TRL",
    freeOnResume: true,
  },
  offload_embedding: {
    schema: { type: "boolean", default: false },
    doc: "With use_peft on a GPU: the embedding's table stays in the computer's memory, and the rows of a batch's tokens are copied. For a frozen embedding that is not the head's matrix too.",
    source: "Unsloth",
    freeOnResume: true,
  },
  optimizer_in_backward: {
    schema: { type: "boolean", default: false },
    doc: "Update each weight as soon as its gradient is there, and free the gradient. Needs max_grad_norm: 0 and steps of one micro-batch.",
    source: "torchtune's optimizer_in_bwd",
    freeOnResume: true,
  },
  logits_chunk_size: {
    schema: { type: ["integer", "null"], minimum: 1, default: null },
    doc: "Vocabulary entries whose logits are held at once; null: chosen from the number of answer tokens.",
    freeOnResume: true,
  },
  logits_kept_mib: {
    schema: { type: ["integer", "null"], minimum: 0, default: null },
    doc: "MiB of probabilities that a trained head keeps for its gradient; what does not fit is computed again. null: 128, on a GPU 1,024.",
    freeOnResume: true,
  },
  batch_invariant: {
    schema: { type: "boolean", default: false },
    doc: "Compute with the products that sampling uses, whose rows do not depend on each other: on-policy, the log-probs of training are closer to those that the tokens were drawn with. On a CPU, and slower there.",
    source: "vLLM has it for serving",
  },
  share_prompt: {
    schema: { type: "boolean", default: true },
    doc: "Compute the prompt of a pair once for both answers.",
  },
  precompute_ref_log_probs: {
    schema: { type: "boolean", default: true },
    doc: "Compute the reference's log-probabilities once before training (dpo, and slime with lambda_start or chosen_floor). false (LoRA only): adapter switched off at each step.",
    source: "TRL has false",
    objectives: referenceMethods as MethodName[],
  },
  reference_cache_dir: {
    schema: { type: ["string", "null"], pattern: "\\S", default: null },
    expected: "a directory path",
    doc: "Where reference log-probabilities are kept, by hash of model, data and template. null: in the run directory.",
    objectives: referenceMethods as MethodName[],
    freeOnResume: true,
  },
  max_nonfinite_steps: {
    schema: { type: "integer", minimum: 1, default: 5 },
    doc: "Training stops after this many steps in a row with a loss or gradient that is NaN or infinite; each is skipped.",
    freeOnResume: true,
  },
  skip_step_sigma: {
    schema: { type: ["number", "null"], exclusiveMinimum: 0, default: null },
    doc: "Skip a step whose loss, or the logarithm of whose gradient norm, is more than this many standard deviations above the mean of the last 128 steps, from the 64th on; OLMo uses 6. null: skip none.",
    source: "OLMo-core's SkipStepOptimizer, sigma_factor",
  },
} as const;

const wholeSteps = "a whole number of steps at least 1 (fractions of a run are not offered)";

/** Keys of logging, evaluation, checkpoints and export. */
export const RECORD_KEYS = {
  logging_steps: {
    schema: { type: "integer", minimum: 1, default: 10 },
    expected: wholeSteps as string,
    doc: "Steps between two rows of metrics; each row is the mean over its steps.",
    source: "TRL",
    freeOnResume: true,
  },
  report_to: {
    schema: { type: "array", items: { enum: ["tensorboard", "trackio", "mlflow", "wandb"] }, default: [] },
    expected: 'a list of trackers ([] is none): "tensorboard", "trackio", "mlflow", "wandb"',
    doc: "Trackers that get the metrics beside metrics.jsonl; see docs/trackers.md. tensorboard: event files in the run's folder. trackio, mlflow: their server, at TRACKIO_SERVER_URL, MLFLOW_TRACKING_URI. wandb: the Python package of that name.",
    source: "TRL has none",
    freeOnResume: true,
  },
  project: {
    schema: { type: ["string", "null"], pattern: "\\S", default: null },
    doc: "Project of the run at trackio and wandb, experiment at mlflow. null: TRACKIO_PROJECT, WANDB_PROJECT, MLFLOW_EXPERIMENT_NAME; without these huggingface, mlflow's Default.",
    source: "transformers",
    freeOnResume: true,
  },
  log_entropy: {
    schema: { type: "boolean", default: false },
    doc: "Log the mean entropy at answer tokens; costs one more pass over the logits.",
    source: "TRL always logs it",
    freeOnResume: true,
  },
  eval_strategy: {
    schema: { enum: ["no", "steps", "epoch"] },
    rule: "steps where eval_steps is given, else epoch where there is evaluation data, else no",
    doc: "When held-out rows are evaluated.",
    source: "TRL has no",
    freeOnResume: true,
  },
  eval_steps: {
    schema: { type: ["integer", "null"], minimum: 1 },
    expected: wholeSteps as string,
    rule: "logging_steps with eval_strategy: steps",
    doc: "Steps between two evaluations.",
    source: "TRL",
    freeOnResume: true,
  },
  eval_on_start: {
    schema: { type: "boolean" },
    rule: "true unless eval_strategy is no",
    doc: "Evaluate once before the first step: the start that displacement is measured from. Without it the first evaluation is the start.",
    source: "TRL has false",
    freeOnResume: true,
  },
  drift_data: {
    schema: { type: ["string", "null"], pattern: "\\S", default: null },
    expected: "a file of rows",
    doc: "Rows whose likelihood is followed at every evaluation, as displacement/other_text_change: text that training should leave alone. Completions, messages or text, or the chosen answers of pairs. null: some prompts of held-out rows, 2 % of the answers' tokens.",
    source: "preftune; see docs/displacement.md",
    freeOnResume: true,
  },
  save_strategy: {
    schema: { enum: ["no", "steps", "epoch"], default: "steps" },
    doc: "When checkpoints are written; other than no, at the end too. A stop by signal or by max_nonfinite_steps, and an export that fails (not on several ranks), write one in any case.",
    source: "TRL",
    freeOnResume: true,
  },
  save_steps: {
    schema: { type: "integer", minimum: 1, default: 500 },
    expected: wholeSteps as string,
    doc: "Steps between two checkpoints.",
    source: "TRL",
    freeOnResume: true,
  },
  save_total_limit: {
    schema: { type: ["integer", "null"], minimum: 1, default: null },
    doc: "Newest checkpoints that are kept; the best one and the last good one stay besides. null: all.",
    source: "TRL",
    freeOnResume: true,
  },
  load_best_model_at_end: {
    schema: { type: "boolean", default: false },
    doc: "Export the checkpoint with the best metric_for_best_model instead of the last state; the best one is saved whatever save_strategy is.",
    source: "TRL",
    freeOnResume: true,
  },
  metric_for_best_model: {
    schema: { type: "string", pattern: "\\S", default: "eval_loss" },
    expected: "the name of a metric",
    doc: "The evaluation metric that decides which checkpoint is best and when to stop early; a run whose evaluations lack it ends at the first. On-policy: eval_reward.",
    source: "TRL",
    freeOnResume: true,
  },
  greater_is_better: {
    schema: { type: "boolean" },
    rule: "by the metric: false for losses",
    doc: "Whether the best checkpoint has the greatest or the least metric_for_best_model.",
    source: "TRL",
    freeOnResume: true,
  },
  early_stopping_patience: {
    schema: { type: ["integer", "null"], minimum: 1, default: null },
    doc: "Stop after this many evaluations in a row without a better metric_for_best_model. null: never.",
    source: "TRL's callback",
    freeOnResume: true,
  },
  resume_from_checkpoint: {
    schema: { type: ["string", "null"], pattern: "\\S", default: null },
    expected: '"latest" or a checkpoint directory',
    doc: "Resume from this checkpoint directory, or from the newest intact one of output_dir (latest).",
    source: "TRL",
    freeOnResume: true,
  },
  final_scale: {
    schema: { anyOf: [{ type: "number", minimum: 1, maximum: 1 }, { enum: ["auto"] }], default: 1 },
    expected: '1 or "auto"',
    doc: "How much of the training is exported: 1, the whole; auto: the tenth of it that final_scale_rule picks on one half of the held-out pairs, 30 at least in all, while the whole stays in whole/. Costs eleven evaluations.",
    source: "preftune; see docs/scale.md",
    freeOnResume: true,
  },
  final_scale_rule: {
    schema: SCALE_RULE as typeof SCALE_RULE,
    expected:
      "a mapping from max to margin, chosen or accuracy, from chosen_min and tail_min to nats or null, from drift_max to nats or null" as string,
    doc: "With final_scale: auto, what is to be as large as the bounds allow: least mean change of chosen answers (chosen_min, nats per token), largest drift (drift_max, nats), least tail (tail_min, nats, 0 or below). The smallest scale is taken that no other is better than beyond chance. Names left out keep their default; null: no bound.",
    source: "preftune; see docs/scale.md",
    freeOnResume: true,
  },
  export_merged: {
    schema: { type: "boolean", default: false },
    doc: "With LoRA: at the end also write the merged model beside the adapter.",
    freeOnResume: true,
  },
  export_text_only: {
    schema: { type: "boolean", default: false },
    doc: "Of a multimodal model, export the text model alone, and an adapter for it. Default: what the checkpoint has beside it goes into the export untouched.",
    freeOnResume: true,
  },
  export_parity_tolerance: {
    schema: { type: "number", exclusiveMinimum: 0, default: 1e-4 },
    doc: "Largest accepted difference of a token log-probability (nats) between the trained model and its export; of a half-precision export, the mean may be 200 times that, or three times what its rounding does.",
    freeOnResume: true,
  },
} as const;
