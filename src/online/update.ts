/** One optimiser step on a scored rollout: for loops of rollouts that are not a run's. */
import { at } from "../base/at.ts";
import type { CompletionObjective } from "../methods/objective.ts";
import { type StepResult, type Training, trainStep } from "../train/step.ts";
import type { PolicyReference } from "./policy-reference.ts";
import { prepareRollout } from "./prepare-rollout.ts";
import { byCompletion, rolloutBatches } from "./rollout-batches.ts";
import type { ScoredGroups } from "./scored-rollout.ts";

/** How the step is taken. Names as in a run's configuration. */
export interface UpdateOptions {
  learning_rate: number;
  /** Of the step's dropout masks. */
  seed: number;
  max_completion_length: number;
  /** Needed where the objective has a KL term or compares with a reference; default null. */
  reference?: PolicyReference | null;
  /** Log-probs of the completions in the first update on this rollout; left out in that one, where the ratio is exactly 1. */
  oldLogps?: readonly Float32Array[];
  /** Completions in a micro-batch; default 8. */
  per_device_train_batch_size?: number;
}

/** The result, and the completions' log-probs before it: the `oldLogps` of further updates. */
export interface UpdateResult extends StepResult {
  completionLogps: Float32Array[];
}

/** Takes one step. */
export function update(
  training: Training,
  objective: CompletionObjective,
  scored: ScoredGroups,
  options: UpdateOptions,
): UpdateResult {
  const { max_completion_length, reference = null, oldLogps, seed } = options;
  const referenceLogps = reference?.logps(scored.groups) ?? null;
  const { columns, metrics } = prepareRollout(objective, scored, { referenceLogps, max_completion_length });
  const batches = rolloutBatches(
    scored.groups,
    0,
    { ...columns, ...(oldLogps === undefined ? {} : { oldLogps }) },
    {
      per_device_train_batch_size: options.per_device_train_batch_size ?? 8,
      max_tokens_per_micro_batch: null,
      mask_truncated_completions: false,
      mayCutGroups: objective.mayCutGroups ?? false,
      share_prompt: true,
    },
  );
  const { learning_rate: learningRate } = options;
  const step = { learningRate, seed, log_entropy: false, keep_logps: true };
  const result = trainStep({ ...training, objective }, batches, step);
  const logps = result.logps ?? [];
  return {
    ...result,
    metrics: { ...metrics, ...result.metrics },
    completionLogps: batches.flatMap((batch, i) => byCompletion(batch, at(logps, i))),
  };
}
