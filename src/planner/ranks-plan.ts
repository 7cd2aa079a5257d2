/** The plan of a run on several ranks: how they share the model, what they send, how long a step takes. */
import { microBatchesOf, rowsPerStep } from "../config/step-rows.ts";
import type { ModelConfig } from "../formats/model-config.ts";
import { methodOf } from "../methods/index.ts";
import {
  type ChosenLayout,
  type Cluster,
  chooseLayout,
  hidingTokens,
  type Layout,
  type LayoutCosts,
  ranksOf,
  sharersOf,
  stepSeconds,
  type TrafficInput,
  trafficOf,
} from "./layout.ts";
import type { PlannedKeys } from "./plan-input.ts";
import type { Shards } from "./sharded-memory.ts";

/** A run on several ranks. */
export interface RanksPlan {
  ranks: number;
  /** Ranks of each host. */
  hosts: readonly number[];
  /** Bytes a second between ranks of a host, and of different hosts. */
  inside: number;
  link: number;
  layout: ChosenLayout;
  /** What memory depends on besides. */
  memory: { shards: Shards | null; accumulates: boolean };
  /** Rows of a step on all ranks, and micro-batches of each rank. */
  rowsPerStep: number;
  microBatches: number;
  /** Bytes that a rank sends a step. */
  sentPerStep: number;
  /** Tokens of a micro-batch from which passing parts of the model is hidden; null where none are passed. */
  hidingTokens: number | null;
  /** Seconds of the run; null where its length is unknown. */
  runSeconds: number | null;
}

/** What it follows from. */
export interface RanksInput extends TrafficInput {
  keys: PlannedKeys;
  cluster: Cluster;
  usable: number;
  memoryOf: (shards: Shards | null, accumulates: boolean) => number;
  microBatch: { seconds: number; tokens: number; flops: number };
  /** Rows of the run, repeated ones counted; null where unknown. */
  runRows: (rowsPerStep: number) => number | null;
  /** Whether some step has more micro-batches than one of each rank. */
  isCut: () => boolean;
  /** Tokens of a row in the mean. */
  rowTokens: number;
  /** Seconds of what ranks do after the steps. */
  endSeconds: number;
}

/** How a layout's ranks share the model, as memory is planned by. */
function shardsOf(layout: Layout, cluster: Cluster): Shards | null {
  const ranks = sharersOf(layout, cluster);
  return ranks === 1 ? null : { ranks, keep_gathered: layout.keep_gathered };
}

/**
 * Whether ranks may each hold a part of the model: not of quantised numbers, averages in few bits, a reward model, or with an embedding
 * in the computer's memory.
 */
export function canShare(
  { optim, method, offload_embedding }: PlannedKeys,
  { quantisation }: ModelConfig,
): boolean {
  const isPlain = quantisation === null && optim === "adamw_torch_fused" && !offload_embedding;
  return isPlain && methodOf(method.objective).over !== "scores";
}

/** Rows of a step on `ranks` ranks, on average, and micro-batches of each rank. */
function stepOn(
  { keys, rowTokens, microBatch }: Pick<RanksInput, "keys" | "rowTokens" | "microBatch">,
  ranks: number,
): { rows: number; microBatches: number } {
  const { tokens_per_step: tokens, train_batch_size } = keys;
  const rows =
    tokens === null ? (train_batch_size ?? rowsPerStep(keys) * ranks) : Math.max(1, tokens / rowTokens);
  return { rows, microBatches: microBatchesOf(keys, { rows, rowTokens, full: microBatch.tokens }, ranks) };
}

/** The plan of several ranks. */
export function planRanks(input: RanksInput): RanksPlan {
  const { cluster, usable, keys, microBatch } = input;
  const ranks = ranksOf(cluster);
  const { rows, microBatches } = stepOn(input, ranks);
  const accumulates = microBatches > 1 || input.isCut();
  const work = { microBatchSeconds: microBatch.seconds, microBatches };
  const costsOf = (layout: Layout): LayoutCosts => {
    const traffic = trafficOf(input, layout, cluster);
    const memory = input.memoryOf(shardsOf(layout, cluster), accumulates);
    return { memory, traffic, stepSeconds: stepSeconds(traffic, layout, { work, cluster }) };
  };
  const layout = chooseLayout({ wanted: keys, cluster, usable, costsOf });
  const { gathered, exchanged, added } = layout.costs.traffic;
  const passed = gathered + exchanged;
  const runRows = input.runRows(rows);
  const { hosts, inside, link } = cluster;
  const bandwidth = layout.shard === "node" || hosts.length === 1 ? inside : link;
  return {
    ...{ ranks, hosts, inside, link, layout, microBatches, rowsPerStep: rows },
    memory: { shards: shardsOf(layout, cluster), accumulates },
    sentPerStep: microBatches * passed + added,
    hidingTokens:
      passed === 0
        ? null
        : hidingTokens(passed, bandwidth, {
            flopsPerToken: microBatch.flops / microBatch.tokens,
            flopsPerSecond: microBatch.flops / microBatch.seconds,
          }),
    runSeconds:
      runRows === null ? null : Math.ceil(runRows / rows) * layout.costs.stepSeconds + input.endSeconds,
  };
}
