/** What of its host a rank computes on: which GPU, how many threads. */
import { ConfigError } from "../base/errors.ts";
import { readFileBytes } from "../base/open-file.ts";
import { DisagreementError, ranksInWords } from "./agree.ts";
import type { RankGroup } from "./rank-group.ts";

/** Where a rank stands on its host. */
export interface PlaceOnHost {
  /** From 0. */
  localRank: number;
  /** Ranks of the host. */
  localSize: number;
}

/** The place of this rank: as its launcher says, where that gives each rank of the host one of its own; else in order of the ranks. */
export function placeOnHost(group: RankGroup): PlaceOnHost {
  const all = group.gather(group.launch.localRank);
  const ranks = group.hosts.find((host) => host.includes(group.rank)) ?? [group.rank];
  const isDistinct = new Set(ranks.map((rank) => all[rank])).size === ranks.length;
  const localRank = isDistinct ? group.launch.localRank : ranks.indexOf(group.rank);
  return { localRank, localSize: ranks.length };
}

/**
 * The device of a rank. With GPUs that of its local rank, or the only one that its launcher lets it see.
 *
 * @param wanted - as in a run's configuration @param devices - as torch sees them: "cuda:0" …, "cpu"
 * @throws {ConfigError} if one GPU is asked for by number, or there are fewer than ranks
 */
export function deviceOfRank(
  wanted: string,
  { localRank, localSize }: PlaceOnHost,
  devices: readonly string[],
): string {
  if (/^cuda:\d+$/.test(wanted)) {
    throw new ConfigError(
      `device: "${wanted}" is one GPU, and this run has several ranks. Expected "auto", "cuda" or "cpu": each rank takes the GPU of its local rank.`,
    );
  }
  const gpus = wanted === "cpu" ? [] : devices.filter((name) => name.startsWith("cuda:"));
  const [only] = gpus;
  // without any, what "cuda" asks for is refused where the device is settled
  if (only === undefined) return wanted;
  if (gpus.length === 1) return only;
  const own = gpus[localRank];
  if (own !== undefined && localSize <= gpus.length) return own;
  throw new ConfigError(
    `${localSize} ranks were started on a host that has ${gpus.length} GPUs: expected a GPU for each. ` +
      `Start ${gpus.length} on each host: torchrun --nproc-per-node ${gpus.length}, srun --ntasks-per-node=${gpus.length}.`,
  );
}

/**
 * Requires that no two ranks of a host compute on the same GPU.
 *
 * @param gpu - what tells the GPU of this rank from others of the host; null on a CPU
 * @throws {ConfigError} on all ranks the same, naming those that share one
 */
export function requireOwnGpus(group: RankGroup, gpu: string | null): void {
  const all = group.gather({ host: group.host, gpu });
  const shared = group.hosts.flatMap((ranks) => {
    const users = Map.groupBy(ranks, (rank) => all[rank]?.gpu ?? null);
    return [...users].filter(([id, users]) => id !== null && users.length > 1);
  });
  if (shared.length === 0) return;
  throw new DisagreementError(
    shared.map(([id, ranks]) => `GPU ${id}: ${ranksInWords(ranks, all)} have it in common`),
    "Start a rank for each GPU, or let each see its own (CUDA_VISIBLE_DEVICES).",
  );
}

/** Threads of a rank unless the configuration says: the cores that it may use, divided by the ranks of the host that use the same. */
export function threadsOfRank(group: RankGroup, cores: number): number {
  const all = group.gather(usableCores());
  const ranks = group.hosts.find((host) => host.includes(group.rank)) ?? [];
  const sharing = ranks.filter((rank) => all[rank] === all[group.rank]).length;
  return Math.max(1, Math.floor(cores / Math.max(1, sharing)));
}

/** The list of cores that this process is bound to: `srun` binds tasks to their own, `torchrun` binds none. */
function usableCores(): string {
  try {
    return (
      /^Cpus_allowed_list:\s*(.*)$/m.exec(readFileBytes("/proc/self/status").toString("latin1"))?.[1] ?? ""
    );
  } catch {
    return "";
  }
}
