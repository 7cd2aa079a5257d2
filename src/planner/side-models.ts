/** The models that an on-policy run has beside the one it trains: a second copy as the reference, a value model, a reward model. */
import type { RunConfig } from "../config/run-config.ts";
import { averagesBytes } from "../formats/bits-and-bytes.ts";
import type { ModelConfig } from "../formats/model-config.ts";
import { itemBytes, type PlannedNumerics } from "./activations.ts";
import {
  averageBits,
  countParameters,
  heldBytes,
  optimiserBytes,
  type ParameterCounts,
} from "./parameter-counts.ts";
import { nothing, type TrainedParts } from "./trained-parts.ts";

/** Which there are. */
export interface SideModels {
  /** The model of the start a second time, with its adapter where the run continues one. */
  hasReference: boolean;
  /** Whether an evaluation loads it, another time. */
  isLoadedToEvaluate: boolean;
  /** What PPO's is made of; null: none. */
  valueModel: ValueModelBase | null;
  /** That which scores; null: none. */
  rewardModel: ModelConfig | null;
}

/** A run without any. */
export const noSideModels: SideModels = {
  hasReference: false,
  isLoadedToEvaluate: false,
  valueModel: null,
  rewardModel: null,
};

/** The model whose layers a value model has, and what of it is trained. */
export interface ValueModelBase {
  model: ModelConfig;
  trained: TrainedParts;
}

/** A value model: a model's layers without its head, trained as the policy is, and a row of weights for the value. */
interface PlannedValueModel extends ValueModelBase {
  counts: ParameterCounts;
}

/** The layers of a model whose head gives way to a row of weights: that of a reward model, or for values. */
export function withoutHead<T extends ValueModelBase>(base: T): T {
  // the embedding serves as a head: there is no second matrix
  const model = { ...base.model, tieWordEmbeddings: true };
  return { ...base, model, trained: { ...base.trained, trainsHead: false } };
}

/** PPO's value model on the layers of `base`. */
export function valueModelOf(base: ValueModelBase): PlannedValueModel {
  const { model, trained } = withoutHead(base);
  const counts = countParameters(model, trained);
  const value = model.hiddenSize;
  const savedCopies = counts.savedCopies + (trained.isFull ? 0 : value);
  const total = counts.total + (trained.isFull ? value : 0);
  return { model, trained, counts: { ...counts, total, savedCopies, trained: counts.trained + value } };
}

/** Bytes of the models that are there from the beginning to the end. */
export interface SideBytes {
  reference: number;
  /** Weights and the optimiser's state. */
  valueModel: number;
  rewardModel: number;
}

/** Bytes of `side` beside a policy of `counts`. */
export function sideBytes(
  { hasReference, valueModel, rewardModel }: SideModels,
  policy: {
    model: ModelConfig;
    trained: TrainedParts;
    counts: ParameterCounts;
    optim: RunConfig["optim"];
  },
  numerics: PlannedNumerics,
): SideBytes {
  const { model, trained, counts } = policy;
  return {
    reference: hasReference ? heldBytes(model, trained, counts, numerics) : 0,
    valueModel: valueModel === null ? 0 : valueModelBytes(valueModelOf(valueModel), policy.optim, numerics),
    rewardModel: rewardModel === null ? 0 : scoringParameters(rewardModel) * itemBytes(numerics),
  };
}

function valueModelBytes(
  { model, trained, counts }: PlannedValueModel,
  optim: RunConfig["optim"],
  numerics: PlannedNumerics,
): number {
  return (
    heldBytes(model, trained, counts, numerics) +
    // the row of weights for the value is no matrix of the model
    optimiserBytes(model, trained, optim) +
    averagesBytes(model.hiddenSize, averageBits[optim])
  );
}

function scoringParameters(model: ModelConfig): number {
  const { total, head } = countParameters(model, nothing);
  return total - head + model.hiddenSize;
}
