/** How many rows an optimiser step has, on all ranks together. */
import type { RunConfig } from "./run-config.ts";

/** Keys that say how many rows a step has. */
type StepKeys = Pick<
  RunConfig,
  "train_batch_size" | "per_device_train_batch_size" | "gradient_accumulation_steps"
>;

/** Keys that bound tokens. */
type StepTokenKeys = Pick<RunConfig, "tokens_per_step" | "max_tokens_per_micro_batch">;

/** Rows of an optimiser step on all ranks, where `tokens_per_step` does not say it. */
export function rowsPerStep({
  train_batch_size,
  per_device_train_batch_size,
  gradient_accumulation_steps,
}: StepKeys): number {
  return train_batch_size ?? per_device_train_batch_size * gradient_accumulation_steps;
}

/** Micro-batches in which each rank computes `rows` of a step. */
export function accumulationOf(
  rows: number,
  { per_device_train_batch_size }: Pick<StepKeys, "per_device_train_batch_size">,
  ranks: number = 1,
): number {
  return Math.ceil(rows / (per_device_train_batch_size * ranks));
}

/**
 * Micro-batches in which each rank computes a step of `rows` rows of `rowTokens` tokens on average.
 *
 * @param full - tokens of a full one, where tokens bound a step or a micro-batch
 */
export function microBatchesOf(
  keys: StepTokenKeys & Pick<StepKeys, "per_device_train_batch_size">,
  { rows, rowTokens, full }: { rows: number; rowTokens: number; full: number },
  ranks: number = 1,
): number {
  const byRows = keys.tokens_per_step === null ? accumulationOf(rows, keys, ranks) : 1;
  if (keys.tokens_per_step === null && keys.max_tokens_per_micro_batch === null) return byRows;
  // a mean of many lengths is no exact number
  const byTokens = Math.ceil(
    ((keys.tokens_per_step ?? rows * rowTokens) / ranks / Math.max(1, full)) * (1 - 1e-9),
  );
  return Math.max(1, byRows, byTokens);
}

/** Whether tokens alone decide a micro-batch: rows, of which a step has any number, do not. */
export function isCutByTokens({ tokens_per_step, max_tokens_per_micro_batch }: StepTokenKeys): boolean {
  return tokens_per_step !== null && max_tokens_per_micro_batch !== null;
}
