/** Writes a model's weights as Hugging Face lays them out: one safetensors file, or shards with an index. */
import { join } from "node:path";
import { ConfigError } from "../base/errors.ts";
import { requireFreeBytes, writeFileAtomic } from "../base/files.ts";
import { sourceBytes, type TensorSource, writeSafetensors } from "./safetensors-write.ts";
import { indexFileName, singleFileName } from "./weight-index.ts";

/** Bytes of tensor data in one file before another is begun: 5 GB, as transformers 4 has it. */
const defaultShardBytes: number = 5_000_000_000;

/** Which tensors go into which file. */
export interface ShardPlan {
  shards: { fileName: string; tensorNames: string[]; bytes: number }[];
  totalBytes: number;
}

/** Content of `model.safetensors.index.json`. */
export interface WeightIndexJson {
  metadata: { total_size: number };
  weight_map: Record<string, string>;
}

/**
 * Distributes tensors over files in the order given, beginning a file when the next tensor does not fit.
 *
 * A tensor larger than the limit gets a separate file. One file is called `model.safetensors`.
 * @throws {ConfigError} when the limit is not a positive number
 */
export function planShards(
  tensors: readonly { name: string; bytes: number }[],
  maxShardBytes: number = defaultShardBytes,
): ShardPlan {
  if (!(maxShardBytes > 0)) {
    throw new ConfigError(`Expected a shard size above 0 bytes, got ${maxShardBytes}.`);
  }
  const groups: { tensorNames: string[]; bytes: number }[] = [{ tensorNames: [], bytes: 0 }];
  for (const { name, bytes } of tensors) {
    let group = groups.at(-1);
    if (group === undefined || (group.tensorNames.length > 0 && group.bytes + bytes > maxShardBytes)) {
      group = { tensorNames: [], bytes: 0 };
      groups.push(group);
    }
    group.tensorNames.push(name);
    group.bytes += bytes;
  }
  const number = (n: number): string => String(n).padStart(5, "0");
  const shards = groups.map((group, i) => {
    const numbered = `model-${number(i + 1)}-of-${number(groups.length)}.safetensors`;
    return { fileName: groups.length === 1 ? singleFileName : numbered, ...group };
  });
  return { shards, totalBytes: shards.reduce((sum, shard) => sum + shard.bytes, 0) };
}

/** The index of a plan, or null when one file needs none. */
export function weightIndexJson(plan: ShardPlan): WeightIndexJson | null {
  if (plan.shards.length === 1) return null;
  const pairs = plan.shards.flatMap(({ fileName, tensorNames }) =>
    tensorNames.map((name) => [name, fileName]),
  );
  return { metadata: { total_size: plan.totalBytes }, weight_map: Object.fromEntries(pairs) };
}

/** Options of {@link writeWeights}. */
export interface WriteWeightsOptions {
  /** Bytes of tensor data per file; 5 GB unless given. */
  maxShardBytes?: number;
}

/**
 * Writes the weights of a model into `dir`, one tensor in memory at a time, and the index if there are several files.
 *
 * Call it inside a temporary directory for crash safety.
 * @returns bytes of tensor data
 * @throws {FileError} when they cannot fit or cannot be written
 */
export function writeWeights(
  dir: string,
  tensors: readonly TensorSource[],
  options: WriteWeightsOptions = {},
): number {
  const sized = tensors.map((tensor) => ({ name: tensor.name, bytes: sourceBytes(tensor) }));
  const plan = planShards(sized, options.maxShardBytes);
  requireFreeBytes(dir, plan.totalBytes, "the model weights");
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  for (const { fileName, tensorNames } of plan.shards) {
    const members = tensorNames.flatMap((name) => byName.get(name) ?? []);
    writeSafetensors(join(dir, fileName), members);
  }
  const index = weightIndexJson(plan);
  if (index !== null) writeFileAtomic(join(dir, indexFileName), `${JSON.stringify(index, null, 2)}\n`);
  return plan.totalBytes;
}
