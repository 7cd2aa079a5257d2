/** Several ranks that generate: each with the whole model where it fits, else all in lockstep, block by block. */

import { ConfigError } from "../base/errors.ts";
import { formatBytes } from "../base/file-io.ts";
import type { RunConfig } from "../config/run-config.ts";
import type { RankGroup } from "../distributed/rank-group.ts";
import { Engine } from "../generate/engine.ts";
import { type EngineSource, type OpenEngine, openEngine } from "../generate/open-engine.ts";
import { usableBytes } from "../planner/devices.ts";
import { generationBytes } from "../planner/generation-memory.ts";
import type { RolloutSize } from "../planner/sampling-memory.ts";
import { Lockstep } from "../sharding/lockstep.ts";
import { isGpu } from "../torch/index.ts";
import { loadSharded } from "../train/load-sharded.ts";
import type { Prompting } from "./open-generation.ts";
import { deviceOfEnvironment } from "./plan-device.ts";

/** The ranks, and how they are to hold the model: none, each all of it; all, each a part. */
export interface GeneratingRanks {
  group: RankGroup;
  shard: Exclude<RunConfig["shard"], "node">;
}

/** An engine of one of several ranks. */
export interface RankEngine extends OpenEngine {
  /** How the ranks hold the model and why, a sentence. */
  reason: string;
  /** To be called when this rank has nothing more to generate: it may be needed for what others generate. */
  finish(): void;
}

/**
 * Opens the engine of this rank. All ranks call it.
 *
 * @throws {ConfigError} if they would share a model that is to answer several ways: with several adapters, or with one and without
 */
export function openOnRanks(
  { source, variants }: Pick<Prompting, "source" | "variants">,
  { group, shard }: GeneratingRanks,
  size: RolloutSize,
): RankEngine {
  const localRanks = group.hosts.find((ranks) => ranks.includes(group.rank))?.length ?? 1;
  const own = usableBytes(deviceOfEnvironment(source, localRanks));
  const dtype = source.dtype === "bfloat16" ? "bfloat16" : "float32";
  const numerics = { dtype, onGpu: isGpu(source.device) } as const;
  const all = group.gather({ usable: own, bytes: generationBytes(source.config, numerics, size) });
  const { quantise = null, config } = source;
  const isWhole = (config.quantisation ?? quantise) !== null;
  const usable = Math.min(...all.map((one) => one.usable));
  const bytes = Math.max(...all.map((one) => one.bytes));
  const chosen = shard === "auto" ? (isWhole || bytes <= usable ? "none" : "all") : shard;
  if (isWhole && chosen === "all") {
    throw new ConfigError(
      "--shard all: a model in few bits is not shared, each rank has all of it. Leave it out, or take the float checkpoint.",
    );
  }
  const why =
    shard === "auto" ? `whole it takes ${formatBytes(bytes)} of ${formatBytes(usable)} a rank` : "as asked";
  if (chosen === "none") {
    return { ...openEngine(source), reason: `each rank has the whole model: ${why}.`, finish: () => {} };
  }
  if (variants.length > 1) {
    throw new ConfigError(
      `--adapter: expected one where ranks share the model (${why}), got ${variants.map(({ name }) => name).join(", ")}. Generate with one after another, "base" too.`,
    );
  }
  return {
    ...openedShared(source, group),
    reason: `ranks share the model, and generate in lockstep: ${why}.`,
  };
}

function openedShared(source: EngineSource, group: RankGroup): Omit<RankEngine, "reason"> {
  const { model: dir, adapters, tokenizer, dtype, device, limits } = source;
  // what is shared is the model as adapted, and answers in no other way
  const [adapter] = [...adapters];
  const opened = loadSharded(dir, { device, dtype, adapter: adapter?.[1] ?? null }, group);
  const { model } = opened;
  const passes = new Lockstep(opened.sharded);
  const named = new Map(adapter === undefined ? [] : [[adapter[0], model] as const]);
  const engine = new Engine({ model, adapters: named, tokenizer, dtype, ...(limits && { limits }) });
  return {
    engine,
    finish: () => passes.finish(),
    [Symbol.dispose]: () => {
      engine[Symbol.dispose]();
      passes[Symbol.dispose]();
      opened[Symbol.dispose]();
    },
  };
}
