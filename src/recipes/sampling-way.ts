/** How ranks that share a model sample with it: each with all of it gathered where that fits, else together, block by block. */
import { formatBytes } from "../base/file-io.ts";
import { type MemorySetup, samplingBytes } from "../planner/memory.ts";
import type { RolloutSize } from "../planner/sampling-memory.ts";
import { Lockstep } from "../sharding/lockstep.ts";
import type { ShardedModel } from "../sharding/sharded-model.ts";

/** Whether each rank has all of the model at hand, or they pass each other its blocks for every token. */
export type SamplingWay = "gathered" | "in lockstep";

/** The way that fits, and why. */
export interface ChosenWay {
  way: SamplingWay;
  /** A sentence. */
  reason: string;
}

/**
 * The way of ranks that share the model of `setup`.
 *
 * @param size - what a rank samples at a time @param usable - bytes of a rank's memory
 */
export function samplingWay(setup: MemorySetup, size: RolloutSize, usable: number): ChosenWay {
  const bytes = samplingBytes(setup, size);
  const memory = `${formatBytes(bytes)} of ${formatBytes(usable)} a rank`;
  return bytes <= usable
    ? { way: "gathered", reason: `each rank samples with the model gathered: ${memory}.` }
    : {
        way: "in lockstep",
        reason: `ranks sample in lockstep, block by block: gathered the model would need ${memory}.`,
      };
}

/** What `sample` gives, whose passes through the model may be those of all ranks that share it; null where they do not. */
export async function sampledBeside<T>(
  sharded: ShardedModel | null,
  way: SamplingWay,
  sample: () => Promise<T>,
): Promise<T> {
  if (sharded === null) return await sample();
  if (way === "gathered") {
    using _ = sharded.hold();
    return await sample();
  }
  using passes = new Lockstep(sharded);
  const sampled = await sample();
  passes.finish();
  return sampled;
}
