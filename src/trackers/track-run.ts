/** Sends a run as it is on disk to trackers: one that has ended, or the rest of one whose trackers were out of reach. */
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import type { RunConfig } from "../config/run-config.ts";
import { openRun, type RunPaths } from "../runs/run-directory.ts";
import { RunLock } from "../runs/run-lock.ts";
import { stateOf } from "../runs/run-state.ts";
import { TensorboardWriter } from "../runs/tensorboard.ts";
import { RunSender } from "./sender.ts";
import type { RunEnd, TrackerReport } from "./tracker.ts";
import { remoteOf, sendJobOf } from "./tracking.ts";

/** How long a tracker that fails is asked again. */
const patienceMs = 30_000;

/** What `track` does. */
export interface TrackOptions {
  /** Names of `report_to`. */
  trackers: readonly string[];
  /** In place of the run's own. */
  project?: string | null;
  /** A tracker fails and is asked again. */
  onTrouble?: (text: string) => void;
}

/**
 * Sends the rows of a run that a tracker does not have.
 *
 * @returns what each of the trackers that rows are sent to has then
 * @throws {ConfigError} when `runDir` is no run, or a tracker cannot be reached from here
 * @throws {TrainingError} when another process writes the event files or sends the run
 */
export async function trackRun(runDir: string, options: TrackOptions): Promise<TrackerReport[]> {
  const { paths, config, events } = openRun(runDir);
  const trackers = remoteOf(options.trackers);
  if (options.trackers.includes("tensorboard")) writeTensorboard(paths, config);
  if (trackers.length === 0) return [];
  const project = options.project ?? config.project ?? null;
  const job = { ...sendJobOf(config, runDir, trackers), project };
  const lock = new RunLock(join(runDir, "trackers.lock"));
  try {
    const end = endOf(stateOf(paths, events).kind);
    const deadline = performance.now() + patienceMs;
    const sender = new RunSender(job, {
      end: () => end,
      deadline: () => deadline,
      pause: (ms) => setTimeout(ms),
      onTrouble: (tracker, why) => options.onTrouble?.(`${tracker}: ${why}`),
    });
    await sender.run();
    return sender.reports();
  } finally {
    lock.release();
  }
}

function endOf(state: ReturnType<typeof stateOf>["kind"]): RunEnd {
  if (state === "done" || state === "early stop" || state === "collapsed") return "done";
  return state === "failed" || state === "stopped" ? state : "left";
}

/** The event files of a run that no process writes. */
function writeTensorboard(paths: RunPaths, config: RunConfig): void {
  const held = new RunLock(paths.lock);
  try {
    TensorboardWriter.ofRun(paths, config).close();
  } finally {
    held.release();
  }
}
