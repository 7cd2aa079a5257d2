/** Which examples make up each optimiser step, and how a step is divided into micro-batches. */
import { ConfigError } from "../base/errors.ts";
import type { Example } from "./example.ts";
import { packedTokens } from "./packing.ts";

/** Sizes of steps and micro-batches, under the names of a run's configuration. */
export interface BatchOptions {
  /** Examples of a micro-batch, and with `gradient_accumulation_steps` of a step (`per_device_train_batch_size`). */
  per_device_train_batch_size: number;
  gradient_accumulation_steps: number;
  /** Packed tokens of a step. Replaces the budget of examples; a step has at least one example. */
  tokens_per_step?: number | null;
  /**
   * Packed tokens of a micro-batch. Replaces `per_device_train_batch_size` as the size of micro-batches: a step's examples are
   * distributed to as few as first-fit decreasing finds. An example longer than this has a micro-batch to itself.
   */
  max_tokens_per_micro_batch?: number | null;
  /** False counts the prompt once for each answer. Default true. */
  share_prompt?: boolean;
  /** True where answers are scored, which takes their last tokens too. Default false. */
  scores?: boolean;
}

/** One optimiser step: indices of examples. */
export interface StepPlan {
  /** In the order of the epoch. */
  examples: number[];
  /** The same, divided. Within a micro-batch they keep the order of the epoch. */
  microBatches: number[][];
  /** Packed tokens of all of them. */
  tokens: number;
}

/**
 * The optimiser steps of an epoch. The last may be smaller; nothing is left out.
 *
 * @param order - indices into `examples`, from `EpochSampler.order()` or `.remaining()`
 * @throws ConfigError when a size is not a whole number of at least 1
 */
export function planEpoch(
  examples: readonly Example[],
  order: Iterable<number>,
  options: BatchOptions,
): StepPlan[] {
  checkSizes(options);
  const { share_prompt = true, scores = false } = options;
  const items = Array.from(order, (index): Item => {
    const example = examples[index];
    if (example === undefined) {
      throw new ConfigError(`Expected an index below ${examples.length} in the order, got ${index}.`);
    }
    return { index, tokens: packedTokens(example, { share_prompt, scores }) };
  });
  return stepsOf(items, options).map((step) => ({
    examples: indices(step),
    microBatches: divide(step, options).map(indices),
    tokens: tokensOf(step),
  }));
}

interface Item {
  index: number;
  tokens: number;
}

function checkSizes(options: BatchOptions): void {
  const {
    per_device_train_batch_size,
    gradient_accumulation_steps,
    tokens_per_step,
    max_tokens_per_micro_batch,
  } = options;
  const sizes = {
    per_device_train_batch_size,
    gradient_accumulation_steps,
    tokens_per_step: tokens_per_step ?? 1,
    max_tokens_per_micro_batch: max_tokens_per_micro_batch ?? 1,
  };
  for (const [name, size] of Object.entries(sizes)) {
    if (Number.isSafeInteger(size) && size >= 1) continue;
    throw new ConfigError(`${name}: expected a whole number of at least 1, got ${size}.`);
  }
}

function stepsOf(items: readonly Item[], options: BatchOptions): Item[][] {
  const budget = options.tokens_per_step ?? null;
  if (budget === null)
    return chunks(items, options.per_device_train_batch_size * options.gradient_accumulation_steps);
  const steps: Item[][] = [];
  let filled = 0;
  for (const item of items) {
    const step = steps.at(-1);
    if (step !== undefined && filled + item.tokens <= budget) {
      step.push(item);
      filled += item.tokens;
    } else {
      steps.push([item]);
      filled = item.tokens;
    }
  }
  return steps;
}

function divide(step: readonly Item[], options: BatchOptions): Item[][] {
  const limit = options.max_tokens_per_micro_batch ?? null;
  return limit === null ? chunks(step, options.per_device_train_batch_size) : firstFitDecreasing(step, limit);
}

function firstFitDecreasing(step: readonly Item[], limit: number): Item[][] {
  const place = new Map(step.map((item, position) => [item, position]));
  const positionOf = (item: Item): number => place.get(item) ?? 0;
  const bins: { items: Item[]; tokens: number }[] = [];
  for (const item of [...step].sort((a, b) => b.tokens - a.tokens || positionOf(a) - positionOf(b))) {
    const bin = bins.find(({ tokens }) => tokens + item.tokens <= limit);
    if (bin === undefined) {
      bins.push({ items: [item], tokens: item.tokens });
    } else {
      bin.items.push(item);
      bin.tokens += item.tokens;
    }
  }
  return bins.map(({ items }) => items.sort((a, b) => positionOf(a) - positionOf(b)));
}

function chunks(items: readonly Item[], size: number): Item[][] {
  const parts: Item[][] = [];
  for (let start = 0; start < items.length; start += size) parts.push(items.slice(start, start + size));
  return parts;
}

function indices(items: readonly Item[]): number[] {
  return items.map(({ index }) => index);
}

function tokensOf(items: readonly Item[]): number {
  return items.reduce((sum, { tokens }) => sum + tokens, 0);
}
