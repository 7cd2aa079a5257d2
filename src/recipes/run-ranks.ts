/** A run of several processes: rank 0 opens the run directory, the others follow it. */
import { ConfigError } from "../base/errors.ts";
import { isOnPolicy } from "../config/online-keys.ts";
import type { RunConfig } from "../config/run-config.ts";
import { klOverOfSettings, methodOf } from "../methods/index.ts";
import type { Checkpoint } from "../runs/checkpoints.ts";
import { type OpenRun, type RunPaths, runPaths } from "../runs/run-directory.ts";

/** What a rank needs of a run directory. */
export type RunHandle = Pick<OpenRun, "paths" | "notes" | "checkpoint" | "saveSealed">;

/** @throws {ConfigError} if the run does what only one process can do */
export function refuseOnRanks(config: RunConfig, size: number): void {
  if (isOnPolicy(config)) {
    throw new ConfigError(
      `${size} ranks were started, and an on-policy run (reward_funcs, reward_model, judge) is one process: its engine and its ` +
        "rewards are not shared out. Start it without a launcher.",
    );
  }
  const { shard } = config;
  if (methodOf(config.method.objective).over === "scores" && shard !== "auto" && shard !== "none") {
    throw new ConfigError(
      `shard: a reward model is not divided among ranks, got ${shard}. Take none: each rank holds all of it.`,
    );
  }
  if (klOverOfSettings(config.method) === "micro_batch") {
    throw new ConfigError(
      `${size} ranks were started, and kl_over: micro_batch (preset: trl) estimates the KL on chunks of one process's rows. Set kl_over: ` +
        "step (preset: paper), which no number of ranks changes, or start it without a launcher.",
    );
  }
  if (config.optimizer_in_backward) {
    throw new ConfigError(
      `${size} ranks were started, and optimizer_in_backward is for one: a rank's gradients are parts already, and are summed before ` +
        "any weight changes. Leave it out.",
    );
  }
}

/** The run as ranks other than 0 have it: they read it, and write nothing but their parts of checkpoints. */
export class FollowedRun implements RunHandle {
  readonly paths: RunPaths;
  readonly notes: string[] = [];
  readonly checkpoint: Checkpoint | null;

  constructor(dir: string, checkpoint: Checkpoint | null) {
    this.paths = runPaths(dir);
    this.checkpoint = checkpoint;
  }

  /** Nothing: rank 0 has saved it. */
  saveSealed(): void {}
}
