/** Values as configurations held them before the defaults of some keys changed: digests of work that is finished were taken of these. */
import { isDeepStrictEqual } from "node:util";
import type { DatasetSpec } from "./datasets.ts";
import type { FlatConfig } from "./keys.ts";
import type { RunConfig } from "./run-config.ts";
import { SAMPLED_THRESHOLDS, withoutSampledDefaults } from "./watch-bounds.ts";
import type { WatchThresholds } from "./watch-keys.ts";

/** Keys that configurations did not have then, with the value that does what there was without them. */
const laterDefaults: Readonly<Record<string, unknown>> = { judge_extra: null, offload_embedding: false };

/** Whether a value says nothing that was not so before there was its key: such digests are without it. */
export function isLaterDefault(key: string, value: unknown): boolean {
  return key in laterDefaults && (value ?? null) === laterDefaults[key];
}

/** The values of a configuration that were other ones, where it means the same. */
export function earlierValues(config: RunConfig): FlatConfig {
  return {
    ...earlierRows(config),
    lora_dropout: config.lora_dropout ?? 0.05,
    watch_thresholds: earlierThresholds(config),
  };
}

/** The data as {@link earlierSources} has them. */
export function earlierRows({ train_data, eval_data }: RunConfig): FlatConfig {
  return {
    train_data: earlierSources(train_data),
    eval_data: eval_data === null ? null : earlierSources(eval_data),
  };
}

/**
 * Sources with the weight 1 where none has one. A weight of 1 that all were given is an even draw now and was none: then "even" follows.
 *
 * @param of - what stands for a source
 */
export function earlierSources(
  specs: readonly DatasetSpec[],
  of: (spec: DatasetSpec) => unknown = (spec) => spec,
): unknown[] {
  const sources = specs.map((spec) => of({ ...spec, weight: spec.weight ?? 1 }));
  return specs.every(({ weight }) => weight === 1) ? [...sources, "even"] : sources;
}

/** The bounds with the defaults of sampled answers, also where these are not judged for being few, which changes no training. */
export function earlierThresholds({ watch_action, watch_thresholds }: RunConfig): WatchThresholds {
  const isWithout = isDeepStrictEqual(withoutSampledDefaults(watch_thresholds), watch_thresholds);
  if (watch_action !== "warn" || !isWithout) return watch_thresholds;
  const entries = Object.entries(watch_thresholds) as [keyof WatchThresholds, number | null][];
  return Object.fromEntries(
    entries.map(([name, value]) => [name, value ?? SAMPLED_THRESHOLDS[name]]),
  ) as WatchThresholds;
}
