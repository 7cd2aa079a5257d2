/** How long a row takes: what ranks are balanced by. */

import type { RunConfig } from "../config/run-config.ts";
import type { Example } from "../data/example.ts";
import { readAdapter } from "../formats/adapter.ts";
import { dropoutOf } from "../formats/adapter-config.ts";
import { listedTargets } from "../formats/listed-targets.ts";
import type { ModelConfig } from "../formats/model-config.ts";
import { type FlopsOptions, type PairLengths, pairFlops } from "../planner/flops.ts";
import { adapterParts, everything, type TrainedParts } from "../planner/trained-parts.ts";

/** Keys that say what of a model is trained. */
type TrainedKeys = Pick<
  RunConfig,
  | "use_peft"
  | "disable_dropout"
  | "lora_dropout"
  | "lora_target_modules"
  | "lora_r"
  | "lora_modules_to_save"
  | "use_dora"
>;

/**
 * What a run trains of its model, by its configuration.
 *
 * @param adapterDir - the adapter that it continues; null: it begins a new one, or trains without
 */
export function trainedPartsOf(
  config: TrainedKeys,
  model: ModelConfig,
  adapterDir: string | null,
): TrainedParts {
  if (!config.use_peft) return everything;
  if (adapterDir !== null) {
    const { config: own } = readAdapter(adapterDir);
    return adapterParts(model, { ...own, dropout: dropoutOf(config, own) });
  }
  const targets = config.lora_target_modules;
  return adapterParts(model, {
    rank: config.lora_r,
    rankPattern: {},
    modulesToSave: config.lora_modules_to_save,
    useDora: config.use_dora,
    dropout: dropoutOf(config),
    ...(targets === "all-linear"
      ? { targets, targetModules: [] }
      : { targetModules: [...listedTargets(model, targets)] }),
  });
}

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
