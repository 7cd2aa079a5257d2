/** The KL estimates of a run on labelled rows: what they are made with, its steps, and its evaluations. */
import type { RunConfig } from "../config/run-config.ts";
import type { Dataset } from "../data/dataset.ts";
import type { Example } from "../data/example.ts";
import type { MicroBatch } from "../forward/batch.ts";
import { klOverOf } from "../methods/objective.ts";
import { type FloorSettings, FloorSteps } from "../train/chosen-floor.ts";
import {
  batchesOf,
  EstimatedSteps,
  groupsOfEvaluation,
  groupsOfStep,
  KlEstimator,
  type KlParts,
  type MismatchGroup,
  MismatchTable,
  requireOtherAnswers,
  withKl,
} from "../train/mismatched.ts";
import { requireLanguageModel } from "../train/objective-head.ts";
import type { EpochSteps, StepSource } from "../train/step-source.ts";
import { type ReferenceOptions, sourceFor } from "./references.ts";

/** The KL estimates of a run: those of its steps and of its evaluations. */
export interface KlEstimates {
  over: "step" | "micro_batch";
  train: KlEstimator;
  /** Null without held-out rows. */
  evaluation: KlEstimator | null;
}

/**
 * What a run estimates its KL with, the reference's part computed now where it is not live; null where the objective compares with
 * none.
 *
 * @throws {ConfigError} where a split has one row alone
 */
export function klEstimates(
  options: ReferenceOptions,
  { examples, evalExamples, report }: Dataset,
  epochs: EpochSteps | null,
): KlEstimates | null {
  const { objective, config } = options;
  const over = klOverOf(objective);
  if (over === null || epochs === null) return null;
  const longest = report.counts.lengthLimit?.tokens ?? null;
  const made = (rows: readonly Example[], groups: Iterable<MismatchGroup>, split: string, size: number) => {
    const table = new MismatchTable(rows, groups, longest);
    return estimatorFor(options, table, { split, size });
  };
  if (over === "step") requireOtherAnswers(examples.length);
  const { per_device_train_batch_size: chunk, per_device_eval_batch_size: batch } = config;
  const held = evalExamples ?? [];
  return {
    over,
    train: made(examples, groupsOfRun(epochs, over), "train", chunk),
    evaluation:
      held.length === 0
        ? null
        : made(held, groupsOfEvaluation(held.length, over, { chunk, batch }), "evaluation", batch),
  };
}

/** @param size - rows of a batch */
function estimatorFor(
  options: ReferenceOptions,
  table: MismatchTable,
  { split, size }: { split: string; size: number },
): KlEstimator {
  const { config, trained, numerics, group } = options;
  const keys = { ...config, per_device_train_batch_size: size };
  const reference = sourceFor(options, {
    examples: table.examples,
    split: `${split}, KL`,
    key: table.digest(),
    batches: () => batchesOf(table.examples, [...table.examples.keys()], keys),
  });
  const model = requireLanguageModel(trained.model, "a KL estimate");
  return new KlEstimator({ table, model, numerics, reference, keys, group });
}

/** The groups of all steps. */
function* groupsOfRun(epochs: EpochSteps, over: "step" | "micro_batch"): Generator<MismatchGroup> {
  for (let step = 0; step < epochs.totalSteps; step++) yield* groupsOfStep(epochs, step, over);
}

/** The steps of `epochs`, with their KL estimates where there are any, or the weights that hold a floor. */
export function stepsOnRows(
  epochs: EpochSteps | null,
  kl: KlEstimates | null,
  floor: FloorSettings | null,
): StepSource {
  if (epochs === null) throw new Error("there are no rows to make steps of");
  if (floor !== null) return new FloorSteps(epochs, floor);
  return kl === null ? epochs : new EstimatedSteps(epochs, kl.train, kl.over);
}

/** The batches of an evaluation of `rows` rows, with the KL estimates of the model as it is when it is called. */
export function estimatedBatches(
  batches: readonly MicroBatch[],
  rows: number,
  kl: KlEstimates | null,
  { per_device_train_batch_size: chunk, per_device_eval_batch_size: batch }: RunConfig,
): () => readonly MicroBatch[] {
  const { over, evaluation = null } = kl ?? {};
  if (over === undefined || evaluation === null) return () => batches;
  const groups = groupsOfEvaluation(rows, over, { chunk, batch });
  return () => withKl(batches, groups, evaluation.estimates(groups));
}

/** What estimates for some batches are made with. */
interface KlOfBatches extends Omit<KlParts, "table" | "keys">, Pick<Dataset, "examples" | "report"> {
  groups: readonly MismatchGroup[];
  /** Rows of a batch. */
  batchSize: number;
}

/** The batches of an objective that compares with a KL, with their groups' estimates; as they are where there are no groups. */
export function batchesWithKl(
  batches: readonly MicroBatch[],
  { examples, groups, batchSize, report, ...parts }: KlOfBatches,
): readonly MicroBatch[] {
  if (groups.length === 0) return batches;
  const table = new MismatchTable(examples, groups, report.counts.lengthLimit?.tokens ?? null);
  const keys = { per_device_train_batch_size: batchSize, gradient_accumulation_steps: 1 };
  return withKl(batches, groups, new KlEstimator({ ...parts, table, keys }).estimates(groups));
}
