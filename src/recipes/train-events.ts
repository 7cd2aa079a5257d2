/** What a training run tells while it runs, for progress displays and programs. */
import type { PreflightReport } from "../data/preflight.ts";
import type { RunConfig } from "../runs/config-types.ts";
import type { MetricRow } from "../runs/metrics.ts";
import type { ParityResult } from "../train/export.ts";

/** Told of long phases before the first step: how much of what is done; `total` is null when unknown. */
export type PhaseListener = (label: string, done: number, total: number | null, note?: string) => void;

/** One event. */
export type TrainEvent =
  | { type: "note"; text: string }
  | { type: "preflight"; report: PreflightReport }
  | { type: "start"; step: number; totalSteps: number; trainable: number }
  | { type: "step"; step: number; loss: number }
  | { type: "log"; row: MetricRow }
  | { type: "evaluation"; row: MetricRow }
  | { type: "skipped"; step: number; rows: string[] }
  | { type: "collapse"; step: number; breaches: string[]; action: RunConfig["watch_action"] }
  | { type: "checkpoint"; step: number; path: string }
  | { type: "export"; result: ParityResult }
  | { type: "end"; summary: TrainSummary };

/** A collapse that ended a run. */
export interface Collapse {
  step: number;
  /** The thresholds gone beyond, a sentence each. */
  breaches: string[];
  /** Step of the checkpoint that was exported instead; null when nothing was. */
  restored: number | null;
}

/** How a run ended. */
export interface TrainSummary {
  outputDir: string;
  /** Finished optimiser steps. */
  step: number;
  /** "done", "early stop" (no better evaluation), "collapsed" (the watch ended it), or "stopped" by a signal: resume it. */
  reason: "done" | "early stop" | "collapsed" | "stopped";
  /** Where the watch ended the run; null when it did not. */
  collapse: Collapse | null;
  skippedSteps: number;
  best: { step: number; value: number } | null;
  /** Last training and evaluation rows. */
  lastLog: MetricRow | null;
  lastEvaluation: MetricRow | null;
  /** Exported directories. */
  exported: string[];
  report: string;
}
