/** The model of a run, what of it is trained, and which ranks hold what of it. */
import { isOnPolicy } from "../config/online-keys.ts";
import type { RunConfig } from "../config/run-config.ts";
import type { RankGroup } from "../distributed/rank-group.ts";
import { type Environment, numericsOf } from "../forward/environment.ts";
import type { Numerics } from "../forward/numerics.ts";
import { predictsPrompts } from "../methods/index.ts";
import type { Objective } from "../methods/objective.ts";
import { CausalLM } from "../models/causal-lm.ts";
import { AdamW } from "../optim/adamw.ts";
import type { RolloutSize } from "../planner/sampling-memory.ts";
import { trainedPartsOf } from "../planner/trained-parts.ts";
import type { TrainEvent } from "../runs/train-events.ts";
import { seeded } from "../torch/index.ts";
import type { HeadedModel } from "../train/logp-difference.ts";
import { refuseMaskedTokens } from "../train/masked-tokens.ts";
import { paddingTokenOf } from "../train/padding-token.ts";
import type { PreparedData } from "../train/prepare-data.ts";
import {
  prepareModel,
  prepareRewardModel,
  type TrainedModel,
  type TrainedSelection,
} from "../train/prepare-model.ts";
import { prepareSharded, type ShardedTraining } from "../train/prepare-sharded.ts";
import { rankLayout } from "../train/rank-layout.ts";
import { RankMeter } from "../train/rank-meter.ts";
import type { Training } from "../train/step.ts";
import type { StepRanks } from "../train/step-ranks.ts";
import { EpochSteps, type PlanKeys, packingOf } from "../train/step-source.ts";
import { agreeOnPlan } from "./ranks.ts";
import { rowCost } from "./row-cost.ts";
import { layoutOfRun, type RunLayout } from "./run-layout.ts";

/** A run's model. */
export interface RunModel extends TrainedModel<HeadedModel> {
  /** Null where this process is the only one. */
  ranks: StepRanks | null;
}

/** How the ranks of a run share its work. */
export interface SharedWork {
  group: RankGroup;
  layout: RunLayout;
  /** The steps, each divided among the ranks. */
  source: EpochSteps;
}

/**
 * The layout of a run on several ranks, which is reported, and its steps; null where this process is the only one.
 *
 * @param sampled - what a rank samples at a time between two steps; null: it does not
 * @throws {ConfigError} if ranks have made other plans
 */
export function* sharedWork(
  group: RankGroup | null,
  config: RunConfig & Pick<PlanKeys, "scores" | "prompts">,
  environment: Environment,
  { data: { dataset, modelConfig: model }, sampled }: { data: PreparedData; sampled: RolloutSize | null },
): Generator<TrainEvent, SharedWork | null> {
  if (group === null) return null;
  const { examples } = dataset;
  const trained = trainedPartsOf(config, model, config.adapter_name_or_path);
  const cost = rowCost(examples, model, {
    trained,
    share_prompt: config.share_prompt,
    predictsPrompts: predictsPrompts(config.method),
  });
  const layout = layoutOfRun(group, {
    config,
    model,
    trained,
    environment,
    examples,
    held: dataset.evalExamples ?? [],
    cost,
    sampled,
  });
  yield { type: "note", text: layout.reason };
  if (layout.sampling !== null) yield { type: "note", text: `the collapse watch: ${layout.sampling.reason}` };
  const source = new EpochSteps(examples, { ...config, rank: group.rank, ranks: group.size, cost });
  agreeOnPlan(group, layout, source);
  return { group, layout, source };
}

/**
 * The model of a run, what of it is trained, and by what; its reference is left to whoever knows the rows.
 *
 * @param memory - frees the model, the optimiser's state and groups of ranks
 */
export function openTraining(
  config: RunConfig & Pick<TrainedSelection, "baseModel">,
  environment: Environment,
  { data, objective, shared }: { data: PreparedData; objective: Objective; shared: SharedWork | null },
  memory: DisposableStack,
): { trained: RunModel; numerics: Numerics; training: Omit<Training<HeadedModel>, "reference"> & RunModel } {
  const { scores } = packingOf(objective);
  const trained = runModel(config, environment, data, { scores, shared, memory });
  memory.defer(() => trained.dispose());
  const numerics = {
    ...numericsOf(config, environment),
    ...(isOnPolicy(config) ? { temperature: config.temperature } : {}),
  };
  const optimizer = memory.use(new AdamW(trained.parameters, config));
  const { max_grad_norm, optimizer_in_backward } = config;
  const training = { ...trained, objective, optimizer, numerics, max_grad_norm, optimizer_in_backward };
  return { trained, numerics, training };
}

/**
 * The model and what of it is trained; of one that gives log-probs, those of all rows must be finite.
 *
 * @param of - whether it scores completions, the ranks that hold it, and what ends groups of them
 */
function runModel(
  config: TrainedSelection & Pick<RunConfig, "seed">,
  environment: Environment,
  data: PreparedData,
  { scores, shared, memory }: { scores: boolean; shared: SharedWork | null; memory: DisposableStack },
): RunModel {
  const layout = shared === null ? null : rankLayout(shared.group, shared.layout.shard, memory);
  const sharers = layout?.sharers ?? null;
  const trained: TrainedModel<HeadedModel> & Partial<Pick<ShardedTraining, "sharded">> = seeded(
    config.seed,
    () => {
      if (scores) return prepareRewardModel(config, environment, paddingTokenOf(data));
      if (sharers === null) return prepareModel(config, environment);
      const { keep_gathered } = shared?.layout ?? { keep_gathered: false };
      return prepareSharded(config, environment, { group: sharers, keep_gathered });
    },
  );
  const { examples, evalExamples } = data.dataset;
  if (trained.model instanceof CausalLM) {
    refuseMaskedTokens(trained.model, [examples, evalExamples ?? []], environment.dtype);
  }
  if (shared === null || layout === null) return { ...trained, ranks: null };
  const { sharded = null } = trained;
  return {
    ...trained,
    ranks: {
      group: shared.group,
      sharded,
      replicas: layout.replicas,
      sharers: layout.once,
      meter: new RankMeter(shared.group),
    },
  };
}
