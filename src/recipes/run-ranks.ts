/** A run of several processes: rank 0 opens the run directory, the others follow it. */
import { ConfigError } from "../base/errors.ts";
import { ranksRefused } from "../config/ranks-refused.ts";
import type { RunConfig } from "../config/run-config.ts";
import type { Checkpoint } from "../runs/checkpoints.ts";
import { type OpenRun, type RunPaths, runPaths } from "../runs/run-directory.ts";

/** What a rank needs of a run directory. */
export type RunHandle = Pick<OpenRun, "paths" | "notes" | "checkpoint" | "saveSealed">;

/** @throws {ConfigError} if the run does what only one process can do */
export function refuseOnRanks(config: RunConfig, size: number): void {
  const refused = ranksRefused(config);
  if (refused !== null) throw new ConfigError(`${size} ranks were started, and ${refused}`);
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
