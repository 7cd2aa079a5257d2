/** How many rows an optimiser step has, on all ranks together. */
import type { RunConfig } from "./run-config.ts";

/** Keys that say how many rows a step has. */
type StepKeys = Pick<
  RunConfig,
  "train_batch_size" | "per_device_train_batch_size" | "gradient_accumulation_steps"
>;

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

/** Whether tokens alone decide a micro-batch: rows, of which a step has any number, do not. */
export function isCutByTokens({
  tokens_per_step,
  max_tokens_per_micro_batch,
}: Pick<RunConfig, "tokens_per_step" | "max_tokens_per_micro_batch">): boolean {
  return tokens_per_step !== null && max_tokens_per_micro_batch !== null;
}
