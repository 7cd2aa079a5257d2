/** How the ranks of a run share its model: as configured, or the planner's choice by its rows and the ranks' memory. */
import { ConfigError } from "../base/errors.ts";
import { formatBytes } from "../base/file-io.ts";
import type { RunConfig } from "../config/run-config.ts";
import type { Example } from "../data/example.ts";
import type { RankGroup } from "../distributed/rank-group.ts";
import type { ModelConfig } from "../formats/model-config.ts";
import { askedQuantisation } from "../formats/quantisation.ts";
import type { Environment } from "../forward/environment.ts";
import { clusterOf, usableBytes } from "../planner/devices.ts";
import type { FinalScalePlan } from "../planner/final-scale-plan.ts";
import { streamTokens } from "../planner/flops.ts";
import type { ChosenLayout } from "../planner/layout.ts";
import { memorySetup } from "../planner/memory-setup.ts";
import { heldModel, type PlanInput, type Workload } from "../planner/plan-input.ts";
import { planRun } from "../planner/run-plan.ts";
import type { RolloutSize } from "../planner/sampling-memory.ts";
import type { TrainedParts } from "../planner/trained-parts.ts";
import { EpochSteps } from "../train/step-source.ts";
import { deviceOfEnvironment, usualFraction } from "./plan-device.ts";
import { hasCutStep, heldRows, largestOf, meanOf } from "./plan-rows.ts";
import { lengthsOf } from "./row-cost.ts";
import { type ChosenWay, samplingWay } from "./sampling-way.ts";

/** What the layout of a run follows from. */
export interface LayoutInput {
  /** With `train_batch_size` settled. */
  config: RunConfig;
  model: ModelConfig;
  trained: TrainedParts;
  environment: Environment;
  examples: readonly Example[];
  /** Held-out rows. */
  held: readonly Example[];
  /** What ranks are balanced by: see `rowCost`. */
  cost: (index: number) => number;
  /** What each rank samples at a time between two steps; null where it does not. */
  sampled: RolloutSize | null;
}

/** How the ranks of a run share its model. */
export interface RunLayout extends ChosenLayout {
  /** How they sample with it; null where they do not, or each has all of it. */
  sampling: ChosenWay | null;
}

/** Steps whose micro-batches are looked at. */
const stepsLookedAt = 50;

/**
 * The layout, the same on all ranks: that of the rank with least memory.
 *
 * @throws {ConfigError} when hosts of unequal size are to share the model within each, and when the run chooses its scale and a rank that
 * has a part of the model could not hold all of it
 */
export function layoutOfRun(
  group: Pick<RankGroup, "rank" | "size" | "hosts" | "gather">,
  input: LayoutInput,
): RunLayout {
  const { config, model, trained, environment } = input;
  const localRanks = group.hosts.find((ranks) => ranks.includes(group.rank))?.length ?? 1;
  const own = deviceOfEnvironment(environment, localRanks);
  const all = group.gather({ memory: own.memoryBytes, peaks: own.peaks });
  const least = (of: (one: (typeof all)[number]) => number) => Math.min(...all.map(of));
  const peaks = {
    float32: least((one) => one.peaks.float32),
    bfloat16: least((one) => one.peaks.bfloat16),
  };
  const device = { ...own, memoryBytes: least(({ memory }) => memory), peaks };
  const hosts = group.hosts.map((ranks) => ranks.length);
  const held = heldModel(config.model_name_or_path, model, askedQuantisation(config));
  const asked: PlanInput = {
    ...{ modelName: "", model: held, trained, keys: config, device },
    dtype: environment.dtype === "bfloat16" ? "bfloat16" : "float32",
    cluster: clusterOf(hosts, device),
    ...{ utilisation: usualFraction(device), isUtilisationGiven: false, speedSource: "" },
    workload: workloadOf(input, group.size),
  };
  const { ranks, finalScale } = planRun(asked);
  if (ranks === null) throw new ConfigError("a layout is of several ranks");
  const { layout, memory } = ranks;
  if (memory.shards !== null) requireWhole(layout, finalScale, usableBytes(device));
  const { sampled } = input;
  const shares = sampled !== null && memory.shards !== null;
  const setup = { ...memorySetup(asked), ...memory };
  return { ...layout, sampling: shares ? samplingWay(setup, sampled, usableBytes(device)) : null };
}

/** @throws {ConfigError} if the run chooses its scale and a rank cannot hold the whole model while it measures */
function requireWhole(
  { shard }: Pick<ChosenLayout, "shard">,
  finalScale: FinalScalePlan | null,
  usable: number,
): void {
  if (finalScale === null || finalScale.memoryBytes <= usable) return;
  throw new ConfigError(
    `shard: ${shard}: each rank trains a part of the model, and final_scale: auto measures scales with all of it on each rank, which ` +
      `takes ${formatBytes(finalScale.memoryBytes)} of the ${formatBytes(usable)} that a rank may fill. Set final_scale: 1, and choose ` +
      "afterwards where there is more memory: preftune scale RUN.",
  );
}

function workloadOf({ config, examples, held, cost }: LayoutInput, ranks: number): Workload {
  const { share_prompt } = config;
  const lengths = examples.map(lengthsOf);
  const run = new EpochSteps(examples, { ...config, ranks, cost });
  const longest = lengths.toSorted((a, b) => streamTokens(b, share_prompt) - streamTokens(a, share_prompt));
  return {
    ...{ source: "the run's rows", isMeasured: true, pairs: examples.length },
    mean: meanOf(lengths),
    own: largestOf(run, lengths, { steps: stepsLookedAt, share_prompt }),
    isCut: (count) => hasCutStep(examples, config, count),
    microBatch: (size) => longest.slice(0, size),
    held: heldRows(held, config),
  };
}
