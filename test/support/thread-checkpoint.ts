/** A rank, as a thread, that writes its part of checkpoints: what it got, or the error. */
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { writeFileAtomic } from "../../src/base/files.ts";
import type { Together } from "../../src/base/ranks.ts";
import { checkpointPath, latestCheckpoint, writeCheckpoint } from "../../src/runs/checkpoints.ts";
import { armFault, type Fault } from "./faults.ts";

/** What is written, and which system call of which rank fails. */
export interface ThreadCheckpoint {
  dir: string;
  step: number;
  fault?: Fault;
  faultyRank?: number;
  /** Message of an error that the rank at fault throws in place of writing. */
  bug?: string;
}

/** What a rank has of it. */
export interface ThreadCheckpointResult {
  path?: string;
  error?: { name: string; message: string; exitCode: number };
  /** How often the fault was met. */
  failed: number;
  /** The newest good checkpoint afterwards, and all that is in the directory. */
  latest: number | null;
  names: string[];
}

/** Name of a rank's file. */
export function fileOf(rank: number): string {
  return `part-${rank}`;
}

/** Writes one after another, each over what an earlier one of the same step left. */
export async function onRank(
  ranks: Together,
  plans: readonly ThreadCheckpoint[],
): Promise<ThreadCheckpointResult[]> {
  const results: ThreadCheckpointResult[] = [];
  for (const plan of plans) {
    if (ranks.rank === 0) rmSync(checkpointPath(plan.dir, plan.step), { recursive: true, force: true });
    const result = await writeOne(ranks, plan);
    ranks.gather(null);
    const latest = latestCheckpoint(plan.dir).checkpoint?.step ?? null;
    results.push({ ...result, latest, names: readdirSync(plan.dir) });
    ranks.gather(null);
  }
  return results;
}

async function writeOne(
  ranks: Together,
  plan: ThreadCheckpoint,
): Promise<Omit<ThreadCheckpointResult, "latest" | "names">> {
  const isFaulty = ranks.rank === plan.faultyRank;
  using faults = isFaulty && plan.fault !== undefined ? armFault(plan.fault) : null;
  const failed = (): number => faults?.failed.length ?? 0;
  try {
    const fill = (into: string): void => {
      if (isFaulty && plan.bug !== undefined) throw new Error(plan.bug);
      writeFileAtomic(join(into, fileOf(ranks.rank)), `rank ${ranks.rank} of step ${plan.step}`);
      if (ranks.rank === 0) writeFileSync(join(into, "config.json"), "{}");
    };
    const writers = { ranks, ownFiles: [fileOf(ranks.rank)] };
    const path = await writeCheckpoint(plan.dir, plan.step, fill, writers);
    return { path, failed: failed() };
  } catch (cause) {
    const { name, message, exitCode = -1 } = cause as Error & { exitCode?: number };
    return { error: { name, message, exitCode }, failed: failed() };
  }
}
