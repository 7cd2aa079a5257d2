/** Which examples make up each optimiser step, and how a step is divided into micro-batches. */
import { ConfigError } from "../base/errors.ts";
import type { Example } from "./example.ts";
import { packedTokens } from "./packing.ts";
import type { StepRow } from "./step-balance.ts";
import { chunks, divideStep } from "./step-division.ts";

/** Sizes of steps and micro-batches, under the names of a run's configuration. */
export interface BatchOptions {
  /** Examples of a step; null or left out: those of so many micro-batches. */
  train_batch_size?: number | null;
  /** Examples of a micro-batch at most. */
  per_device_train_batch_size: number;
  gradient_accumulation_steps: number;
  /** Packed tokens of a step. Replaces the budget of examples; a step has at least one example. */
  tokens_per_step?: number | null;
  /**
   * Packed tokens of a micro-batch at most: a step's examples are distributed to as few as first-fit decreasing finds. An example
   * longer than this has a micro-batch to itself. With `tokens_per_step` too it alone counts, and any number of examples may be in one.
   */
  max_tokens_per_micro_batch?: number | null;
  /** False counts the prompt once for each answer. Default true. */
  share_prompt?: boolean;
  /** True where answers are scored, which takes their last tokens too. Default false. */
  scores?: boolean;
  /** Ranks that a step's rows are divided over. Which rows these are does not depend on it. Default 1. */
  ranks?: number;
  /** How long an example takes, in any unit, by its index: what ranks are balanced by. Default: its packed tokens. */
  cost?: (index: number) => number;
}

/** One optimiser step: indices of examples. How it is divided is found out when it is asked for. */
export class StepPlan {
  /** In the order of the epoch. */
  readonly examples: readonly number[];
  /** Packed tokens of all of them. */
  readonly tokens: number;
  readonly #rows: readonly StepRow[];
  readonly #options: BatchOptions;

  constructor(rows: readonly StepRow[], options: BatchOptions) {
    this.examples = rows.map(({ index }) => index);
    this.tokens = rows.reduce((sum, { tokens }) => sum + tokens, 0);
    this.#rows = rows;
    this.#options = options;
  }

  /** Divided: `[rank][micro-batch]`, equally many of each rank. Within a micro-batch they keep the order of the epoch. */
  byRank(): number[][][] {
    const { tokens_per_step, max_tokens_per_micro_batch } = this.#options;
    const isByTokens = (tokens_per_step ?? null) !== null && (max_tokens_per_micro_batch ?? null) !== null;
    const options = isByTokens
      ? { ...this.#options, per_device_train_batch_size: Number.POSITIVE_INFINITY }
      : this.#options;
    return divideStep(this.#rows, options);
  }

  /** The micro-batches of all ranks. */
  get microBatches(): number[][] {
    return this.byRank().flat();
  }
}

/**
 * The optimiser steps of an epoch. The last may be smaller; nothing is left out.
 *
 * @param order - indices into `examples`, from `orderOfEpoch`
 * @throws ConfigError when a size is not a whole number of at least 1
 */
export function planEpoch(
  examples: readonly Example[],
  order: Iterable<number>,
  options: BatchOptions,
): StepPlan[] {
  checkSizes(options);
  const { share_prompt = true, scores = false, cost } = options;
  const rows = Array.from(order, (index): StepRow => {
    const example = examples[index];
    if (example === undefined) {
      throw new ConfigError(`Expected an index below ${examples.length} in the order, got ${index}.`);
    }
    const tokens = packedTokens(example, { share_prompt, scores });
    return { index, tokens, cost: cost?.(index) ?? tokens };
  });
  return stepsOf(rows, options).map((step) => new StepPlan(step, options));
}

function checkSizes(options: BatchOptions): void {
  const {
    train_batch_size,
    per_device_train_batch_size,
    gradient_accumulation_steps,
    tokens_per_step,
    max_tokens_per_micro_batch,
  } = options;
  const sizes = {
    per_device_train_batch_size,
    gradient_accumulation_steps,
    train_batch_size: train_batch_size ?? 1,
    tokens_per_step: tokens_per_step ?? 1,
    max_tokens_per_micro_batch: max_tokens_per_micro_batch ?? 1,
  };
  for (const [name, size] of Object.entries(sizes)) {
    if (Number.isSafeInteger(size) && size >= 1) continue;
    throw new ConfigError(`${name}: expected a whole number of at least 1, got ${size}.`);
  }
}

function stepsOf(rows: readonly StepRow[], options: BatchOptions): StepRow[][] {
  const budget = options.tokens_per_step ?? null;
  const { train_batch_size: size, per_device_train_batch_size, gradient_accumulation_steps } = options;
  if (budget === null) return chunks(rows, size ?? per_device_train_batch_size * gradient_accumulation_steps);
  const steps: StepRow[][] = [];
  let filled = 0;
  for (const row of rows) {
    const step = steps.at(-1);
    if (step !== undefined && filled + row.tokens <= budget) {
      step.push(row);
      filled += row.tokens;
    } else {
      steps.push([row]);
      filled = row.tokens;
    }
  }
  return steps;
}
