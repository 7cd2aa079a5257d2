/** One optimiser step on a scored rollout: for loops of rollouts that are not a run's. */
import type { CompletionObjective } from "../methods/objective.ts";
import { type StepResult, type Training, trainStep } from "../train/step.ts";
import { finiteLogps } from "./finite-logps.ts";
import { completionLogps, type PolicyReference } from "./policy-reference.ts";
import { prepareRollout } from "./prepare-rollout.ts";
import { byCompletion, packingOf, rolloutBatches } from "./rollout-batches.ts";
import { oldLogpsOf, type ScoredGroups } from "./scored-rollout.ts";
import type { ValueModel } from "./value-model.ts";

/**
 * How the step is taken. Names as in a run's configuration, which may be given whole. What else it has is the loop's: the schedule of
 * the learning rate, how often a rollout is used, skipped steps.
 */
export interface UpdateOptions {
  learning_rate: number;
  /** Of the step's dropout masks. */
  seed: number;
  max_completion_length: number;
  /** Needed where the objective has a KL term or compares with a reference; default null. */
  reference?: PolicyReference | null;
  /** Log-probs of the completions in the first update on this rollout; left out in that one, where the ratio is exactly 1. */
  oldLogps?: readonly Float32Array[];
  /** Needed by ppo: gives the values of the rollout and is updated in the same step, at its `learningRate`; default null. */
  valueModel?: ValueModel | null;
  /** The values of the first update on this rollout; left out in that one. Later ones have its advantages by them. */
  values?: readonly Float32Array[];
  /** Leave the policy as it is, while the value model learns; default false. */
  frozen?: boolean;
  /** Completions in a micro-batch; default 8. */
  per_device_train_batch_size?: number;
  /** Input tokens in a micro-batch at most; default null: any number. */
  max_tokens_per_micro_batch?: number | null;
  /** Leave the tokens of completions that were cut out of the loss; default false. */
  mask_truncated_completions?: boolean;
  /** Compute a prompt once for its completions in a micro-batch; default true. */
  share_prompt?: boolean;
  /** Log the entropy as well; default false. */
  log_entropy?: boolean;
}

/** The result, and what it is of the completions before it: the `oldLogps` and `values` of further updates. */
export interface UpdateResult extends StepResult {
  completionLogps: Float32Array[];
  /** Null without a value model. */
  values: readonly Float32Array[] | null;
}

/**
 * Takes one step.
 *
 * @throws {ShapeError} if weights are updated in the backward pass and the rollout makes several micro-batches
 * @throws {TrainingError} naming the row, if a log-prob that a KL is made of is not finite
 */
export function update(
  training: Training,
  objective: CompletionObjective,
  scored: ScoredGroups,
  options: UpdateOptions,
): UpdateResult {
  const { max_completion_length, reference = null, oldLogps, seed, valueModel = null, frozen } = options;
  const { mask_truncated_completions = false } = options;
  const { groups } = scored;
  const referenceLogps =
    reference === null ? null : finiteLogps("reference", groups, reference.logps(groups));
  const values = options.values ?? valueModel?.values(groups) ?? null;
  const packing = {
    per_device_train_batch_size: options.per_device_train_batch_size ?? 8,
    max_tokens_per_micro_batch: options.max_tokens_per_micro_batch ?? null,
    share_prompt: options.share_prompt ?? true,
  };
  const policyLogps = (): Float32Array[] =>
    oldLogps === undefined
      ? finiteLogps("policy", groups, completionLogps(training.model, groups, packing, training.numerics))
      : oldLogpsOf(groups, oldLogps);
  const { columns, metrics } = prepareRollout(objective, scored, {
    ...{ referenceLogps, max_completion_length, mask_truncated_completions },
    ...(objective.usesReference === true ? { policyLogps: policyLogps() } : {}),
    ...(values === null ? {} : { values }),
  });
  const batches = rolloutBatches(
    groups,
    0,
    { ...columns, ...(oldLogps === undefined ? {} : { oldLogps }) },
    { ...packing, mask_truncated_completions, ...packingOf(objective, training) },
  );
  const { learning_rate: learningRate, log_entropy = false } = options;
  const step = { learningRate, seed, log_entropy, keep_logps: true, frozen };
  const result = trainStep({ ...training, objective }, batches, step);
  const logps = result.logps ?? [];
  const ofValues = valueModel?.update(batches, valueModel.learningRate ?? learningRate, seed) ?? {};
  return {
    ...result,
    values,
    metrics: { ...metrics, ...result.metrics, ...ofValues },
    completionLogps: byCompletion(batches, logps),
  };
}
