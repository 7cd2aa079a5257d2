/** PPO's value model: a backbone of its own with a value head, trained beside the policy, kept in its checkpoints, exported. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { ConfigError, FormatError, TrainingError } from "../base/errors.ts";
import { makeDirectory } from "../base/files.ts";
import { deriveSeed } from "../base/random.ts";
import type { RunConfig } from "../config/run-config.ts";
import { isAdapter, readAdapter } from "../formats/adapter.ts";
import { ownSkipModules } from "../formats/held-quantisation.ts";
import { readModelConfig } from "../formats/hf-config.ts";
import { contextLength } from "../formats/model-config.ts";
import type { MicroBatch } from "../forward/batch.ts";
import type { Environment } from "../forward/environment.ts";
import type { Numerics } from "../forward/numerics.ts";
import { rewardsOfBatch } from "../forward/score-rewards.ts";
import type { PpoSettings } from "../methods/ppo/settings.ts";
import { valueObjective } from "../methods/ppo/value-loss.ts";
import type { RewardModel } from "../models/reward-model.ts";
import { AdamW } from "../optim/adamw.ts";
import { learningRateAt } from "../optim/schedule.ts";
import { runPaths } from "../runs/run-directory.ts";
import type { TrainEvent } from "../runs/train-events.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { seeded } from "../torch/index.ts";
import { readTrainedState, trainedStateBytes, writeTrainedState } from "../train/checkpoint.ts";
import { exportRun } from "../train/export-run.ts";
import { paddingTokenOf } from "../train/padding-token.ts";
import type { PreparedData } from "../train/prepare-data.ts";
import { prepareRewardModel, type TrainedModel, type TrainedSelection } from "../train/prepare-model.ts";
import { type Training, trainStep } from "../train/step.ts";
import { baseOf, requireSameTokenizer } from "./reward-model.ts";
import type { RolloutGroup } from "./rollout.ts";
import { byCompletion, rolloutBatches } from "./rollout-batches.ts";

/** Which of the seeds derived from the run's own is the value model's. */
const seedIndex = 2 ** 31 + 3;
/** Its directory in a checkpoint. */
const DIRECTORY = "value_model";

/** What a value model is made of. */
export interface ValueModelSettings {
  config: RunConfig & { method: PpoSettings; baseModel: string };
  environment: Environment;
  /** The policy's. */
  numerics: Numerics;
  data: PreparedData;
}

/** A value model in training: full or LoRA as the policy is, by an optimiser of its own. */
export class ValueModel implements Disposable {
  readonly #settings: ValueModelSettings;
  /** Its weights, or those below its adapter, and how they are held. */
  readonly #base: Pick<TrainedSelection, "model_name_or_path"> & Pick<RunConfig, "llm_int8_skip_modules">;
  readonly #trained: TrainedModel<RewardModel>;
  readonly #training: Training<RewardModel>;

  /**
   * Loads it. Nothing is drawn for a head of zeros: values are 0 then, and the advantages the rewards'.
   *
   * @throws {ConfigError} if `value_model_name_or_path` has another tokenizer, or an adapter that the run cannot continue
   * @throws {FormatError} if it has no score layer
   */
  constructor(settings: ValueModelSettings) {
    const { config, environment, numerics, data } = settings;
    const { selection, newScore } = beginning(config, data.tokenizer);
    this.#settings = settings;
    const { model_name_or_path, llm_int8_skip_modules: names = null } = selection;
    this.#base = { model_name_or_path, llm_int8_skip_modules: names === null ? null : [...names] };
    this.#trained = seeded(deriveSeed(config.seed, seedIndex), () =>
      prepareRewardModel(selection, environment, paddingTokenOf(data), newScore),
    );
    this.#training = {
      ...this.#trained,
      ...{ numerics, reference: null, objective: valueObjective(config.method) },
      optimizer: new AdamW(this.#trained.parameters, config),
      max_grad_norm: config.max_grad_norm,
      optimizer_in_backward: config.optimizer_in_backward,
    };
  }

  /** Steps of the run, from its first, in which it learns alone. */
  get warmupSteps(): number {
    return this.#settings.config.method.value_warmup_steps;
  }

  /** Tokens of the longest text that it takes. */
  get context(): number {
    return contextLength(this.#trained.model.config);
  }

  /**
   * What it expects of each completion of the groups, in order, from the state before each token, the end token among them.
   *
   * @throws {TrainingError} if a value is not finite
   */
  values(groups: readonly RolloutGroup[]): Float32Array[] {
    const { config, numerics } = this.#settings;
    const packing = { ...config, mayCutGroups: true, mask_truncated_completions: false };
    const batches = rolloutBatches(groups, 0, {}, packing);
    const values = byCompletion(
      batches,
      batches.map((batch) => rewardsOfBatch(this.#training.model, batch, numerics)),
    );
    if (values.every((own) => own.every(Number.isFinite))) return values;
    throw new TrainingError(
      "The value model gives a value that is not finite, so there are no advantages: its numbers grew too large. " +
        "Lower value_learning_rate or max_grad_norm, and continue from an earlier checkpoint.",
    );
  }

  /** An update on the micro-batches of step `step` of `totalSteps`, from 0; gives its metrics. */
  step(batches: readonly MicroBatch[], step: number, totalSteps: number): Record<string, number> {
    const { config } = this.#settings;
    const schedule = { ...config, learning_rate: this.learningRate ?? config.learning_rate };
    const learningRate = learningRateAt(step, totalSteps, schedule);
    return this.update(batches, learningRate, deriveSeed(deriveSeed(config.seed, seedIndex), step));
  }

  /** `value_learning_rate`; null: the policy's. */
  get learningRate(): number | null {
    return this.#settings.config.method.value_learning_rate;
  }

  /** An update on the micro-batches of a step of the policy; `seed` is of its dropout masks. Gives its metrics. */
  update(batches: readonly MicroBatch[], learningRate: number, seed: number): Record<string, number> {
    const { metrics, gradNorm, skipped } = trainStep(this.#training, batches, {
      ...{ learningRate, seed },
      log_entropy: false,
    });
    return { ...metrics, "val/grad_norm": gradNorm, "val/skipped": skipped === null ? 0 : 1 };
  }

  /** Bytes that `saveInto` writes. */
  get checkpointBytes(): number {
    return trainedStateBytes(this.#training);
  }

  /** Writes its weights and its optimiser's state into a checkpoint that is being written. */
  saveInto(dir: string): void {
    const own = join(dir, DIRECTORY);
    makeDirectory(own);
    writeTrainedState(own, this.#training);
  }

  /** Continues with what the checkpoint in `dir` has. @throws {FormatError} if it has none, or one of another kind */
  resumeFrom(dir: string): void {
    const own = join(dir, DIRECTORY);
    if (!existsSync(own)) {
      throw new FormatError(
        `${own} is missing: the checkpoint has no value model. Resume from another one, or start a new run from its weights.`,
      );
    }
    readTrainedState(own, this.#training);
  }

  /** Exports it to the run's `value_model`, a reward model's directory or adapter, checked by the values of tokens of held-out or else training rows. */
  export(): AsyncIterable<Extract<TrainEvent, { type: "export" }>> {
    const { config, data } = this.#settings;
    const { valueModel: dir } = runPaths(config.output_dir);
    const keys = { ...config, ...this.#base, export_merged: false };
    return exportRun({ adapter: dir, model: dir }, keys, data, this.#training);
  }

  [Symbol.dispose](): void {
    this.#training.optimizer[Symbol.dispose]();
    this.#trained.dispose();
  }
}

/** The value model of a run, loaded; null where its method has none. Throws as the constructor does. */
export function openValueModel(
  config: RunConfig & { baseModel: string },
  parts: Omit<ValueModelSettings, "config">,
): ValueModel | null {
  const { method } = config;
  if (!("value_model_name_or_path" in method)) return null;
  return new ValueModel({ ...parts, config: { ...config, method } });
}

/**
 * The directory of the frozen weights below a value model's adapter, where they are not the policy's; else null: a checkpoint has
 * everything of a value model that is trained in full.
 */
export function valueModelBase(config: RunConfig & { baseModel: string }): string | null {
  const { method, use_peft } = config;
  if (!("value_model_name_or_path" in method) || !use_peft || method.value_model_name_or_path === null)
    return null;
  const from = method.value_model_name_or_path;
  if (!isAdapter(from)) return from;
  return isOnPolicysBase(from, config) ? null : baseOf(from);
}

/** Whether the adapter is one of the policy's base model; a hub id is no directory: it is known by its name. */
function isOnPolicysBase(adapter: string, { baseModel }: { baseModel: string }): boolean {
  return readAdapter(adapter).config.baseModel === baseModel;
}

/** What is loaded and trained, and the score layer of a model without one. */
function beginning(
  config: ValueModelSettings["config"],
  tokenizer: Tokenizer,
): { selection: TrainedSelection; newScore: "zero" | null } {
  const { value_model_name_or_path: from } = config.method;
  const selection = withoutHead(config);
  if (from === null) {
    if (config.adapter_name_or_path === null) return { selection, newScore: "zero" };
    throw new ConfigError(
      "adapter_name_or_path: a policy's adapter has no value head, so the value model cannot begin from it. Merge it (preftune merge) " +
        "and give the result as model_name_or_path, or name a reward model in value_model_name_or_path.",
    );
  }
  requireSameTokenizer(from, tokenizer);
  if (!isAdapter(from)) {
    const whole = {
      model_name_or_path: from,
      adapter_name_or_path: null,
      baseModel: from,
      baseRevision: null,
    };
    return { selection: withOwnModules({ ...selection, ...whole }), newScore: null };
  }
  if (!config.use_peft) {
    throw new ConfigError(
      `value_model_name_or_path: ${from} is an adapter, and without use_peft all weights are trained. Merge it first: preftune merge`,
    );
  }
  const base = isOnPolicysBase(from, config) ? config.model_name_or_path : baseOf(from);
  const own = { model_name_or_path: base, adapter_name_or_path: from };
  return { selection: withOwnModules({ ...selection, ...own }), newScore: "zero" };
}

/** The selection with the names among the policy's `llm_int8_skip_modules` that the model has. */
function withOwnModules(selection: TrainedSelection): TrainedSelection {
  const { model_name_or_path: dir, llm_int8_skip_modules: names } = selection;
  if (!names) return selection;
  return { ...selection, llm_int8_skip_modules: ownSkipModules(readModelConfig(dir), names) };
}

/** The selection for a model without the head of a language model. */
function withoutHead(config: TrainedSelection): TrainedSelection {
  const { lora_modules_to_save: saved, lora_target_modules: targets } = config;
  const isOther = (name: string) => name !== "lm_head";
  return {
    ...config,
    lora_modules_to_save: saved.filter(isOther),
    lora_target_modules: typeof targets === "string" ? targets : targets.filter(isOther),
  };
}
