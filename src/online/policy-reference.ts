/** The reference of an on-policy run: the model as it was before training, or one that follows it. */
import type { RunConfig } from "../config/run-config.ts";
import type { Environment } from "../forward/environment.ts";
import type { Numerics } from "../forward/numerics.ts";
import { scoreBatch } from "../forward/score-batch.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import { prepareModel, type TrainedModel } from "../train/prepare-model.ts";
import type { RolloutGroup } from "./rollout.ts";
import { rolloutBatches } from "./rollout-batches.ts";

/** Log-probs of a rollout's completions under a model that is not trained. */
export interface PolicyReference extends Disposable {
  /** For each completion of the groups, in order, the log-probs of its tokens at the temperature of `numerics`. */
  logps(groups: readonly RolloutGroup[]): Float32Array[];
  /** To be called when step `step`, from 0, is done; left out, with all below, where the reference stays as it is. */
  stepped?(step: number): void;
  /** Bytes that `saveInto` writes. */
  readonly checkpointBytes?: number;
  /** Writes it into a checkpoint that is being written. */
  saveInto?(dir: string): void;
  /** Continues with that of the checkpoint in `dir`. */
  resumeFrom?(dir: string): void;
}

/** How the reference is run. */
export interface ReferenceSettings {
  config: RunConfig & { baseModel: string };
  environment: Environment;
  numerics: Numerics;
}

/**
 * The start of `trained`, which has not been trained yet: a new adapter switched off, else a second copy of the model.
 */
export function policyReference(trained: TrainedModel, settings: ReferenceSettings): PolicyReference {
  const { config, numerics } = settings;
  const { adapter } = trained;
  if (adapter !== null && config.adapter_name_or_path === null) {
    return {
      logps(groups) {
        const { enabled } = adapter.switch;
        adapter.switch.enabled = false;
        try {
          return completionLogps(trained.model, groups, config, numerics);
        } finally {
          adapter.switch.enabled = enabled;
        }
      },
      [Symbol.dispose]() {},
    };
  }
  return secondModel(settings);
}

/** The model of the start, loaded again: a reference with weights of its own. */
export interface SecondModel extends PolicyReference {
  parameters: TrainedModel["parameters"];
}

/** Loads the model of the start a second time. */
export function secondModel({ config, environment, numerics }: ReferenceSettings): SecondModel {
  const { model, parameters, dispose } = prepareModel(config, environment);
  return {
    parameters,
    logps: (groups) => completionLogps(model, groups, config, numerics),
    [Symbol.dispose]: () => dispose(),
  };
}

/** Log-probs of each completion's tokens under `model`, the end token among them; without gradients. */
export function completionLogps(
  model: CausalLM,
  groups: readonly RolloutGroup[],
  keys: Pick<RunConfig, "per_device_train_batch_size" | "max_tokens_per_micro_batch" | "share_prompt">,
  numerics: Numerics,
): Float32Array[] {
  const batches = rolloutBatches(
    groups,
    0,
    {},
    {
      ...keys,
      mayCutGroups: true,
      mask_truncated_completions: false,
    },
  );
  return batches.flatMap((batch) => scoreBatch(model, batch, numerics).map(({ logps }) => logps));
}
