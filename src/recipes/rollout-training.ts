/** A model, its optimiser, prompts and rewards, opened from a configuration: for loops of rollouts of a program's own making. */
import { ConfigError } from "../base/errors.ts";
import { type ConfigInput, loadConfig } from "../config/load-config.ts";
import type { RunConfig } from "../config/run-config.ts";
import { assertPreflight } from "../data/preflight.ts";
import { numericsOf, settleEnvironment } from "../forward/environment.ts";
import { trainingReference } from "../online/moving-reference.ts";
import type { PolicyReference } from "../online/policy-reference.ts";
import type { Scorer } from "../online/scored-rollout.ts";
import { openValueModel, type ValueModel } from "../online/value-model.ts";
import { AdamW } from "../optim/adamw.ts";
import { writeCheckpoint } from "../runs/checkpoints.ts";
import { seeded } from "../torch/index.ts";
import { newState, writeCheckpointFiles } from "../train/checkpoint.ts";
import { type PreparedData, prepareData } from "../train/prepare-data.ts";
import { prepareModel } from "../train/prepare-model.ts";
import type { Training } from "../train/step.ts";
import { OnlineRun, rolloutObjectiveOf } from "./online.ts";

/** What a loop works with. To be disposed of: `await using open = await openRolloutTraining(…)`. */
export interface RolloutTraining extends AsyncDisposable {
  config: RunConfig;
  /** Takes updates: see `update`. Its objective is that of the configuration. */
  training: Training & { objective: ReturnType<typeof rolloutObjectiveOf> };
  /** The prompts and what they were tokenised with. */
  data: PreparedData;
  /** Reward functions, the reward model and the judge that the configuration names, in this order. */
  rewards: Scorer;
  /**
   * The model before training, for objectives that compare with it; a second copy, unless an adapter is trained. With
   * `sync_ref_model` it moves as the loop calls its `stepped`, and is in checkpoints that are saved after it was opened.
   */
  openReference(): PolicyReference;
  /** PPO's, for `update` to train it; it is in checkpoints. Null for other objectives. */
  valueModel: ValueModel | null;
  /** Writes a checkpoint as runs have them, `checkpoint-STEP` in `dir`. @returns its path */
  save(dir: string, step: number): Promise<string>;
}

/**
 * Opens what the configuration of an on-policy run names.
 *
 * @throws {PreftuneError} as a run would
 */
export async function openRolloutTraining(input: ConfigInput): Promise<RolloutTraining> {
  const { config } = loadConfig(input);
  refuseRunKeys(config);
  const objective = rolloutObjectiveOf(config);
  const environment = settleEnvironment(config);
  const { model_name_or_path: baseModel } = config;
  const selection = { ...config, baseModel };
  await using opening = new AsyncDisposableStack();
  const online = opening.use(await OnlineRun.open(selection));
  const data = await prepareData({ ...config, task: "prompt" });
  assertPreflight(data.dataset.report);
  online.requireColumns(data.dataset);
  const rewards = online.scorer(data, environment);
  const trained = seeded(config.seed, () => prepareModel(selection, environment));
  opening.defer(() => trained.dispose());
  const optimizer = opening.use(new AdamW(trained.parameters, config));
  const numerics = { ...numericsOf(config, environment), temperature: config.temperature };
  const { max_grad_norm, optimizer_in_backward } = config;
  const how = { max_grad_norm, optimizer_in_backward };
  const training = { ...trained, objective, optimizer, numerics, ...how, reference: null };
  const valueModel = openValueModel(selection, { environment, numerics, data });
  if (valueModel !== null) opening.use(valueModel);
  const open = opening.move();
  let reference: PolicyReference | null = null;
  return {
    ...{ config, training, data, rewards, valueModel },
    openReference() {
      reference = trainingReference(trained, { config: selection, environment, numerics });
      return reference;
    },
    save: (dir, step) =>
      writeCheckpoint(dir, step, (path) => {
        const state = { ...newState(data.dataset.fingerprint), step };
        writeCheckpointFiles(path, training, data, state);
        reference?.saveInto?.(path);
        valueModel?.saveInto(path);
      }),
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}

/** @throws {ConfigError} for a key of what only a run does between its steps */
function refuseRunKeys({ max_staleness, dynamic_sampling, skip_step_sigma, method }: RunConfig): void {
  const replay = "replay" in method ? method.replay : 0;
  const given = [
    ["max_staleness", max_staleness, 0, "draws its rollouts itself"],
    ["dynamic_sampling", dynamic_sampling, 0, "draws its rollouts itself"],
    ["replay", replay, 0, "trains on its rollouts alone"],
    ["skip_step_sigma", skip_step_sigma, null, "takes each update that it asks for"],
  ] as const;
  for (const [key, value, none, why] of given) {
    if (value === none) continue;
    throw new ConfigError(
      `${key}: a loop of a program's own ${why}, so ${value} has no effect. Set it to ${none}.`,
    );
  }
}
