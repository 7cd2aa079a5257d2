/** The whole run's steps, decided before the first: which examples each takes, in which order, in which micro-batches. */
import { at } from "../base/at.ts";
import type { RunConfig } from "../config/run-config.ts";
import { planEpoch, type StepPlan } from "../data/batches.ts";
import type { Example } from "../data/example.ts";
import { packExamples } from "../data/packing.ts";
import { EpochSampler } from "../data/sampler.ts";
import type { MicroBatch } from "../forward/batch.ts";

/** Keys of the configuration that decide how data becomes steps. */
export type PlanKeys = Pick<
  RunConfig,
  | "per_device_train_batch_size"
  | "per_device_eval_batch_size"
  | "gradient_accumulation_steps"
  | "tokens_per_step"
  | "max_tokens_per_micro_batch"
  | "share_prompt"
  | "num_train_epochs"
  | "max_steps"
  | "seed"
>;

/** Steps of a run. Nothing but configuration and data decides them, so a resumed run takes the same ones. */
export class RunPlan {
  readonly totalSteps: number;
  readonly #examples: readonly Example[];
  readonly #keys: PlanKeys;
  readonly #epochs: StepPlan[][] = [];

  constructor(examples: readonly Example[], keys: PlanKeys) {
    this.#examples = examples;
    this.#keys = keys;
    this.totalSteps = keys.max_steps > 0 ? keys.max_steps : this.#stepsOfEpochs(keys.num_train_epochs);
  }

  #stepsOfEpochs(epochs: number): number {
    const whole = Math.floor(epochs);
    let steps = 0;
    for (let epoch = 0; epoch < whole; epoch++) steps += this.#epoch(epoch).length;
    const rest = epochs - whole;
    return rest > 0 ? steps + Math.ceil(rest * this.#epoch(whole).length) : steps;
  }

  #epoch(epoch: number): StepPlan[] {
    const known = this.#epochs[epoch];
    if (known !== undefined) return known;
    const order = new EpochSampler(this.#examples.length, this.#keys.seed, { epoch, cursor: 0 }).order();
    const steps = planEpoch(this.#examples, order, batchOptions(this.#keys));
    this.#epochs[epoch] = steps;
    return steps;
  }

  /** Where step `index` (from 0) stands: its plan, its epoch, and the epochs finished after it. */
  at(index: number): { plan: StepPlan; epoch: number; progress: number; endsEpoch: boolean } {
    let epoch = 0;
    let rest = index;
    while (rest >= this.#epoch(epoch).length) rest -= this.#epoch(epoch++).length;
    const steps = this.#epoch(epoch);
    const last = rest === steps.length - 1;
    return {
      plan: at(steps, rest),
      epoch,
      progress: epoch + (rest + 1) / steps.length,
      endsEpoch: last,
    };
  }

  /** The packed micro-batches of a step. */
  batches(plan: StepPlan): MicroBatch[] {
    return plan.microBatches.map((indices) => pack(this.#examples, indices, this.#keys.share_prompt));
  }
}

function batchOptions(keys: PlanKeys): Parameters<typeof planEpoch>[2] {
  return {
    per_device_train_batch_size: keys.per_device_train_batch_size,
    gradient_accumulation_steps: keys.gradient_accumulation_steps,
    tokens_per_step: keys.tokens_per_step,
    max_tokens_per_micro_batch: keys.max_tokens_per_micro_batch,
    share_prompt: keys.share_prompt,
  };
}

function pack(examples: readonly Example[], indices: readonly number[], share_prompt: boolean): MicroBatch {
  return {
    packed: packExamples(
      indices.map((i) => at(examples, i)),
      { share_prompt },
    ),
    indices,
  };
}

/** Every example once, in order, in batches of the evaluation's size. */
export function evaluationBatches(
  examples: readonly Example[],
  keys: Pick<PlanKeys, "per_device_eval_batch_size" | "share_prompt">,
): MicroBatch[] {
  const size = keys.per_device_eval_batch_size;
  const starts = Array.from({ length: Math.ceil(examples.length / size) }, (_, i) => i * size);
  return starts.map((start) => {
    const count = Math.min(size, examples.length - start);
    return pack(
      examples,
      Array.from({ length: count }, (_, i) => start + i),
      keys.share_prompt,
    );
  });
}

/** One micro-batch for each example of a step, to find out which of them is at fault. */
export function singleBatches(
  examples: readonly Example[],
  plan: StepPlan,
  share_prompt: boolean,
): MicroBatch[] {
  return plan.examples.map((index) => pack(examples, [index], share_prompt));
}
