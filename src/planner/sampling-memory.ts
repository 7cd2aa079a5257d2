/** Memory of sampling: the cache of what is sampled together, as a moment of a run. */
import { headsOf, type ModelConfig } from "../formats/model-config.ts";
import { itemBytes, type PlannedNumerics, passingBytesPerToken } from "./activations.ts";
import { densifiedBytes } from "./parameter-counts.ts";
import { nothing } from "./trained-parts.ts";

/** How much of a rollout is in memory at a time. */
export interface RolloutSize {
  /** Tokens whose keys and values are kept, and completions that are sampled together. */
  cachedTokens: number;
  completions: number;
  /** Whether another process samples, with separate weights and a separate cache. */
  isAhead: boolean;
  /**
   * Of all that is sampled, and not only together, the drawn tokens in whose places the filters' tokens are held, and how many those
   * are at most, null: any number; left out: nothing of that is held.
   */
  filtered?: { tokens: number; most: number | null };
}

/** What a moment of a step holds besides what is always there. */
export type Moment = Record<"gradients" | "activations" | "head" | "working", number> & {
  name: string;
  cache?: number;
  /** What filters left in the places of drawn tokens. */
  filtered?: number;
  /** Units of a sharded model that are gathered. */
  gathered?: number;
  /** A model of the start that is there only then. */
  reference?: number;
};

/** Bytes of the keys and values of what is sampled at a time. */
export function cacheBytes(model: ModelConfig, numerics: PlannedNumerics, size: RolloutSize): number {
  const item = itemBytes(numerics);
  const numbers = model.layerKinds.reduce((sum, kind) => {
    const { headDim, numKeyValueHeads } = headsOf(model, kind);
    return sum + numKeyValueHeads * headDim;
  }, 0);
  return 2 * numbers * item * size.cachedTokens;
}

/** Bytes of what filters left in the places of the drawn tokens, at most: a list, or a bit for each token (`tokenSet`). */
export function filteredBytes(
  { filtered }: Pick<RolloutSize, "filtered">,
  { model, numerics }: { model: ModelConfig; numerics: PlannedNumerics },
): number {
  // it is in the computer's memory
  if (filtered === undefined || numerics.onGpu) return 0;
  const { tokens, most } = filtered;
  return tokens * Math.min(Math.ceil(model.vocabSize / 8), 4 * (most ?? model.vocabSize));
}

/** Between steps: no gradients, no activations, the cache of the completions and one pass's logits. */
export function sampling(
  name: string,
  size: RolloutSize | null,
  { model, numerics }: { model: ModelConfig; numerics: PlannedNumerics },
): Moment[] {
  if (size === null) return [];
  const { completions } = size;
  return [
    {
      ...{ name, gradients: 0, activations: 0 },
      cache: cacheBytes(model, numerics, size),
      filtered: filteredBytes(size, { model, numerics }),
      head: 4 * model.vocabSize * completions,
      working: completions * passingBytesPerToken(model, numerics) + densifiedBytes(model, nothing, numerics),
    },
  ];
}
