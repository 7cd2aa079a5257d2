/** What attention over capped scores holds: tables of all scores (`src/nn/caps.ts`), which no other attention here has. */
import type { ModelConfig } from "../formats/model-config.ts";
import { itemBytes, type PlannedNumerics } from "./activations.ts";
import type { PairLengths } from "./flops.ts";

/** Bytes of tables of scores; all 0 for a model without a cap on them. */
export interface ScoreTables {
  /** Of a block's graph. */
  kept: number;
  /** Of masks, one for each kind of layer, while a micro-batch is there. */
  masks: number;
  /** That come and go with the largest part of a stream. */
  passing: number;
}

/** The tables of a micro-batch of these pairs. */
export function scoreTables(
  config: ModelConfig,
  pairs: readonly PairLengths[],
  numerics: PlannedNumerics,
  share_prompt: boolean,
): ScoreTables {
  if (config.design.scoreCap === null) return { kept: 0, masks: 0, passing: 0 };
  const item = itemBytes(numerics);
  const parts = pairs.flatMap((pair) => partsOf(pair, share_prompt));
  const sizes = parts.map(({ own, all }) => own * all);
  const scores = sizes.reduce((sum, size) => sum + size, 0);
  const { numHeads, numKeyValueHeads, headDim, layerKinds } = config;
  // tanh's result, the softmax's in float32, and that rounded
  const perScore = item + 4 + (item === 4 ? 0 : item);
  // queries by heads, and a completion's keys and values behind its prompt's
  const vectors = parts.reduce((sum, { own, all }) => {
    const gathered = all > own ? 2 * numKeyValueHeads * all : 0;
    return sum + headDim * (numHeads * own + gathered);
  }, 0);
  return {
    kept: numHeads * perScore * scores + item * vectors,
    masks: item * new Set(layerKinds).size * scores,
    passing: 2 * 4 * numHeads * Math.max(0, ...sizes),
  };
}

/** Queries and keys of a pair's segments. */
function partsOf(
  { prompt, chosen, rejected }: PairLengths,
  share_prompt: boolean,
): { own: number; all: number }[] {
  const completions = [chosen, rejected].filter((n) => n > 0);
  if (!share_prompt) {
    return completions.map((n) => ({ own: prompt + n - 1, all: prompt + n - 1 }));
  }
  const own = completions.filter((n) => n > 1).map((n) => ({ own: n - 1, all: prompt + n - 1 }));
  return [{ own: prompt, all: prompt }, ...own];
}
