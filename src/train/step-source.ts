/** Where a run's steps come from: what each is made of, in which micro-batches. */
import { createHash } from "node:crypto";
import { at } from "../base/at.ts";
import type { RunConfig } from "../config/run-config.ts";
import { rowsPerStep } from "../config/step-rows.ts";
import { type BatchOptions, planEpoch, type StepPlan } from "../data/batches.ts";
import type { Example } from "../data/example.ts";
import { firstOfPrompts, type PackingOptions, packExamples, packedTokens } from "../data/packing.ts";
import { orderOfEpoch } from "../data/row-order.ts";
import type { MicroBatch } from "../forward/batch.ts";
import type { Objective } from "../methods/objective.ts";
import type { RolloutRow, TrainEvent } from "../runs/train-events.ts";
import { shortest } from "./row-shares.ts";
import type { StepResult } from "./step.ts";

/** Keys of the configuration that decide how data becomes steps. */
export type PlanKeys = Pick<
  RunConfig,
  | "train_batch_size"
  | "per_device_train_batch_size"
  | "per_device_eval_batch_size"
  | "gradient_accumulation_steps"
  | "tokens_per_step"
  | "max_tokens_per_micro_batch"
  | "share_prompt"
  | "num_train_epochs"
  | "max_steps"
  | "data_order"
  | "seed"
> &
  Pick<PackingOptions, "scores" | "prompts" | "joins"> &
  Pick<BatchOptions, "ranks" | "cost"> & {
    /** This process among the ranks, whose micro-batches it gets. Default 0. */
    rank?: number;
  };

/** How batches of an objective are packed. */
export function packingOf({
  over,
  takesPrompts = false,
}: Objective): Required<Pick<PackingOptions, "scores" | "prompts" | "joins">> {
  return { scores: over === "scores", prompts: takesPrompts, joins: over === "labelled" };
}

/** One optimiser step. */
export interface TrainingStep {
  /** Its packed micro-batches; of several ranks those of this one. */
  batches: MicroBatch[];
  /** Those of all ranks; left out where there is one. */
  all?: MicroBatch[];
  /** Each of its examples as a micro-batch by itself, in the step's order: to find out which of them is at fault. */
  singles: () => MicroBatch[];
  /** Epochs that are done after it. */
  epoch: number;
  endsEpoch: boolean;
  /** Whether the source wants its log-probs. */
  keep_logps?: boolean;
  /** Whether the model stays as it is in this step. */
  frozen?: boolean;
  /** The completions that were sampled for it and the steps after it; left out where none were. */
  rollout?: RolloutRow[];
  /** What is to be reported of it. */
  notes?: readonly string[];
}

/** How a step is asked for. */
export interface NextOptions {
  /** Ends what it waits for. */
  signal?: AbortSignal | undefined;
  /** Called from inside long work before a step: how much of it is done. */
  onWork?: (at: "sampling" | "scoring", done: number, total: number) => void;
}

/** What training takes its steps from: the rows of a data set, or what the model samples. */
export interface StepSource {
  readonly totalSteps: number;
  /** For each row of metrics as it is written: statistics of all steps, or speeds. */
  readonly metrics: Readonly<Record<string, number>>;
  /**
   * Step `step`, from 0. A resumed run asks for the same steps again. Null when the signal ended what it waited for, or
   * there is a reason (`whyStopped`) that the run should stop for.
   */
  next(step: number, options?: NextOptions): TrainingStep | null | Promise<TrainingStep | null>;
  /** Why the run stops before its last step; null or left out: it does not. */
  readonly whyStopped?: string | null;
  /** Whether the run stops for `error`, which ended an evaluation, instead of failing; `whyStopped` then says why. */
  stopsFor?(error: unknown): boolean;
  /** Called when step `step` is done; gives metrics of what it was made of. */
  stepped?(step: number, result: StepResult): Record<string, number>;
  /** Bytes that `saveInto` writes at most; left out: few. */
  readonly checkpointBytes?: number;
  /** Writes what a run resumed after `step` steps needs of it into a checkpoint that is being written. */
  saveInto?(dir: string, step: number): void;
  /** Continues after `step` steps with what the checkpoint in `dir` has of it. */
  resumeFrom?(dir: string, step: number): void;
  /** Exports what the run trained besides its model. */
  export?(): AsyncIterable<Extract<TrainEvent, { type: "export" }>>;
}

/** The rows epoch by epoch, decided before the first step: nothing but configuration and data decides them. */
export class EpochSteps implements StepSource {
  readonly totalSteps: number;
  readonly metrics: Readonly<Record<string, number>>;
  readonly #examples: readonly Example[];
  readonly #keys: PlanKeys;
  readonly #epochs: StepPlan[][] = [];
  #lengths: readonly number[] | null = null;
  /** For each row the first with the same prompt, where rows share it; else null. */
  readonly #firstRows: readonly number[] | null;

  constructor(examples: readonly Example[], keys: PlanKeys) {
    this.#examples = examples;
    this.#keys = keys;
    this.#firstRows = keys.joins === true ? firstOfPrompts(examples) : null;
    this.totalSteps = keys.max_steps > 0 ? keys.max_steps : this.#stepsOfEpochs(keys.num_train_epochs);
    const cut = examples.filter(
      ({ trace }) => (trace?.answerTokensCut ?? 0) + (trace?.promptTokensCut ?? 0) > 0,
    );
    this.metrics = { "data/frac_truncated": cut.length / examples.length };
  }

  #stepsOfEpochs(epochs: number): number {
    const whole = Math.floor(epochs);
    let steps = 0;
    for (let epoch = 0; epoch < whole; epoch++) steps += this.#epoch(epoch).length;
    if (epochs === whole) return steps;
    const { length } = this.#epoch(whole);
    // transformers' ceil(epochs × steps): 1.1 - 1 is above 0.1, and so would be what is rounded up
    return steps + Math.ceil(epochs * length) - whole * length;
  }

  #epoch(epoch: number): StepPlan[] {
    const known = this.#epochs[epoch];
    if (known !== undefined) return known;
    const steps = planEpoch(this.#examples, this.#orderOf(epoch), this.#keys);
    this.#epochs[epoch] = steps;
    return steps;
  }

  #orderOf(epoch: number): Int32Array {
    this.#lengths ??= this.#examples.map((example) => packedTokens(example, this.#keys));
    const { tokens_per_step: budget } = this.#keys;
    const mean = this.#lengths.reduce((sum, tokens) => sum + tokens, 0) / this.#lengths.length;
    const rows = budget === null ? rowsPerStep(this.#keys) : Math.max(1, Math.floor(budget / mean));
    return orderOfEpoch(this.#lengths, epoch, { ...this.#keys, rowsPerStep: rows });
  }

  /** The steps of the epoch that step `step` is in, and which of them it is. */
  #placeOf(step: number): { steps: StepPlan[]; epoch: number; rest: number } {
    let epoch = 0;
    let rest = step;
    while (rest >= this.#epoch(epoch).length) rest -= this.#epoch(epoch++).length;
    return { steps: this.#epoch(epoch), epoch, rest };
  }

  /** Which examples step `step` is made of, and where it stands in its epoch. */
  planOf(step: number): { plan: StepPlan; epoch: number; endsEpoch: boolean } {
    const { steps, epoch, rest } = this.#placeOf(step);
    const done = rest + 1;
    return { plan: at(steps, rest), epoch: epoch + done / steps.length, endsEpoch: done === steps.length };
  }

  /** The example that step `step` comes after in its epoch, whose last comes before its first. */
  exampleBefore(step: number): number {
    const { steps, rest } = this.#placeOf(step);
    return at(at(steps, (rest + steps.length - 1) % steps.length).examples.toReversed(), 0);
  }

  /** SHA-256 of the rows of each step of the first epoch, in their order, and of how each step is divided. */
  digests(): { rows: string; division: string } {
    const [rows, division] = [createHash("sha256"), createHash("sha256")];
    for (let step = 0; step < this.totalSteps; step++) {
      const { plan, endsEpoch } = this.planOf(step);
      rows.update(JSON.stringify(plan.examples));
      division.update(JSON.stringify(plan.byRank()));
      if (endsEpoch) break;
    }
    return { rows: rows.digest("hex"), division: division.digest("hex") };
  }

  next(step: number): TrainingStep {
    const { plan, epoch, endsEpoch } = this.planOf(step);
    const packed = (indices: readonly number[]) =>
      microBatchOf(this.#examples, indices, this.#keys, this.#firstRows);
    const { rank = 0, ranks = 1 } = this.#keys;
    const divided = plan
      .byRank()
      .map((own) => own.map((indices) => (indices.length > 0 ? packed(indices) : null)));
    const all = divided.flat().filter((batch) => batch !== null);
    return {
      batches: at(divided, rank).map((batch) => batch ?? { ...shortest(all), isIdle: true }),
      ...(ranks > 1 ? { all } : {}),
      singles: () => plan.examples.map((index) => packed([index])),
      epoch,
      endsEpoch,
    };
  }
}

/** Rows of `examples` as one micro-batch. */
export function microBatchOf(
  examples: readonly Example[],
  indices: readonly number[],
  { share_prompt, scores = false, prompts = false, joins = false }: PackingKeys,
  firstRows: readonly number[] | null = null,
): MicroBatch {
  const taken = indices.map((i) => at(examples, i));
  const packed = packExamples(taken, { share_prompt, scores, prompts, joins });
  return {
    packed,
    indices,
    ...(firstRows === null ? {} : { prompts: indices.map((i) => at(firstRows, i)) }),
    ...columnsOfRows(taken),
  };
}

/** What the rows themselves bring: margins of pairs, 1 for answers labelled good and 0 for bad ones. */
function columnsOfRows(rows: readonly Example[]): Pick<MicroBatch, "columns"> {
  const byCompletion = (value: (row: Example) => number) =>
    rows.flatMap((row) => row.completions.map(() => value(row)));
  if (rows.some(({ margin }) => margin !== undefined))
    return { columns: { margin: byCompletion(({ margin }) => margin ?? 0) } };
  if (rows.some(({ label }) => label !== undefined))
    return { columns: { label: byCompletion(({ label }) => (label === true ? 1 : 0)) } };
  return {};
}

type PackingKeys = Pick<PlanKeys, "share_prompt" | "scores" | "prompts" | "joins">;

/** Every example once, in order, in batches of the evaluation's size. */
export function evaluationBatches(
  examples: readonly Example[],
  keys: Pick<PlanKeys, "per_device_eval_batch_size"> & PackingKeys,
): MicroBatch[] {
  const size = keys.per_device_eval_batch_size;
  const starts = Array.from({ length: Math.ceil(examples.length / size) }, (_, i) => i * size);
  return starts.map((start) => {
    const count = Math.min(size, examples.length - start);
    return microBatchOf(
      examples,
      Array.from({ length: count }, (_, i) => start + i),
      keys,
    );
  });
}
