/** What a tracker is to the sender: a run that is begun or continued, rows that are sent to it, an end. */
import type { MetricRow } from "../runs/metrics.ts";

/** Trackers that rows are sent to, each by a process beside training. TensorBoard's event files are written by the run itself. */
export const remoteTrackers = ["trackio", "mlflow", "wandb"] as const;

/** One of them. */
export type RemoteTracker = (typeof remoteTrackers)[number];

/** A run as a tracker shows it. */
export interface TrackedRun {
  /** 32 hexadecimal digits that no other run has: by them it is found again. */
  key: string;
  name: string;
  /** The configuration, by key. */
  config: Readonly<Record<string, unknown>>;
}

/** How a run ended; "left": its process is gone and nothing was said. */
export type RunEnd = "done" | "stopped" | "failed" | "left";

/** How a tracker stands to a run that was opened. */
export interface OpenedRun {
  /** It has the run from earlier. Where it has not, what was sent before is gone, or went elsewhere. */
  isThere: boolean;
  /** Rows are there once `send` has resolved; else they are only taken, and are there once `close` has. */
  isKept: boolean;
}

/** A tracker. Every method throws when the tracker cannot be reached, refuses, or answers what it should not. */
export interface Tracker {
  /** Begins the run, or continues it if it is there. Called before the first rows, and again after something failed. */
  open(run: TrackedRun): Promise<OpenedRun>;
  /**
   * Sends rows, in their order.
   *
   * @param mayBeThere - an earlier attempt, whose answer was lost, may have brought some: those are not doubled
   */
  send(rows: readonly MetricRow[], mayBeThere: boolean): Promise<void>;
  /** Says how the run ended. */
  close(end: RunEnd): Promise<void>;
  /** Ends what the tracker runs on this machine, whether or not it was closed. */
  dispose(): void;
}

/** What became of a run's rows at one tracker. */
export interface TrackerReport {
  tracker: RemoteTracker;
  /** Rows of metrics.jsonl that it has for certain, and that it has not. */
  sent: number;
  unsent: number;
  /** It knows how the run ended. */
  isClosed: boolean;
  /** Why it has not all of that; null where it has, or has not answered yet. */
  trouble: string | null;
}
