/** How long a row takes: what ranks are balanced by. */

import type { Example } from "../data/example.ts";
import type { ModelConfig } from "../formats/model-config.ts";
import { type FlopsOptions, type PairLengths, pairFlops } from "../planner/flops.ts";

/** Token counts of a row: a pair, or a single completion. */
export function lengthsOf({ promptIds, completions }: Example): PairLengths {
  const [chosen, rejected] = completions.map(({ ids }) => ids.length);
  return { prompt: promptIds.length, chosen: chosen ?? 0, rejected: rejected ?? 0 };
}

/** FLOPs of training on each of `examples`, by index: `cost` of `planEpoch`. */
export function rowCost(
  examples: readonly Example[],
  model: ModelConfig,
  how: Pick<FlopsOptions, "trained" | "share_prompt" | "predictsPrompts">,
): (index: number) => number {
  const costs = examples.map((example) => {
    const { training } = pairFlops(model, lengthsOf(example), { ...how, recomputed: 0 });
    return training;
  });
  return (index) => costs[index] ?? 0;
}
