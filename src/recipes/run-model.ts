/** The model of a run, what of it is trained, and which ranks hold what of it. */
import type { RunConfig } from "../config/run-config.ts";
import type { RankGroup } from "../distributed/rank-group.ts";
import type { Environment } from "../forward/environment.ts";
import { CausalLM } from "../models/causal-lm.ts";
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
import type { StepRanks } from "../train/step-ranks.ts";

/** A run's model. */
export interface RunModel extends TrainedModel<HeadedModel> {
  /** Null where this process is the only one. */
  ranks: StepRanks | null;
}

/** Keys that say how it is made. */
type ModelKeys = TrainedSelection & Pick<RunConfig, "seed" | "shard" | "keep_gathered">;

/**
 * The model and what of it is trained; of one that gives log-probs, those of all rows must be finite.
 *
 * @param of - whether it scores completions, and the ranks that hold it
 */
export function runModel(
  config: ModelKeys,
  environment: Environment,
  data: PreparedData,
  { scores, group }: { scores: boolean; group: RankGroup | null },
): RunModel {
  const layout =
    group === null ? null : rankLayout(group, scores || config.shard === "auto" ? "none" : config.shard);
  const sharers = layout?.sharers ?? null;
  const trained: TrainedModel<HeadedModel> & Partial<Pick<ShardedTraining, "sharded">> = seeded(config.seed, () => {
    if (scores) return prepareRewardModel(config, environment, paddingTokenOf(data));
    if (sharers === null) return prepareModel(config, environment);
    const keepGathered = config.keep_gathered === true;
    return prepareSharded(config, environment, { group: sharers, keep_gathered: keepGathered });
  });
  const { examples, evalExamples } = data.dataset;
  if (trained.model instanceof CausalLM) {
    refuseMaskedTokens(trained.model, [examples, evalExamples ?? []], environment.dtype);
  }
  if (group === null || layout === null) return { ...trained, ranks: null };
  const { sharded = null } = trained;
  return { ...trained, ranks: { group, sharded, replicas: layout.replicas, sharers: layout.once } };
}
