/** What a training run yields while it runs: its recorder writes it down, displays and programs show it. */
import type { RunConfig } from "../config/run-config.ts";
import type { PreflightReport } from "../data/preflight.ts";
import type { EvaluationBaseline } from "./evaluation-baseline.ts";
import type { EvaluationRecord } from "./evaluation-records.ts";
import type { MetricRow } from "./metrics.ts";
import type { PairTokens } from "./pair-tokens.ts";
import type { Fingerprints } from "./run-directory.ts";

/**
 * What a run is at. A step and an evaluation block until they are done: this comes from inside them, between their parts,
 * where no event can come.
 */
export interface TrainWork {
  at: "sampling" | "scoring" | "step" | "evaluation" | "export";
  /** The step that is computed or sampled for, or after which it is evaluated or exported. */
  step: number;
  /** Micro-batches of the step, batches of the evaluation, sampled tokens or scored prompts that are done. */
  done: number;
  total: number;
  /** Input tokens of the step's micro-batches that are done. */
  tokens: number;
}

/** Called before the first part of a step, an evaluation or the export, and after each part. */
export type WorkListener = (work: TrainWork) => void;

/** What a run trains on and where, once that is known. */
export interface TrainStart {
  type: "start";
  /** Steps that are done already; above 0 in a resumed run. */
  step: number;
  totalSteps: number;
  /** Weights that are trained. */
  trainable: number;
  trainRows: number;
  /** 0 without held-out rows. */
  evaluationRows: number;
  device: string;
  dtype: string;
  threads: number;
}

/** A step that is done. */
export interface TrainStep {
  type: "step";
  step: number;
  loss: number;
  /** Averages over the step under the objective's names. */
  metrics: Readonly<Record<string, number>>;
  /** Input tokens. */
  tokens: number;
  peakMemoryBytes: number;
}

/** A completion that the model gave in an on-policy run, and what it was given for it: a row of `rollouts.jsonl.gz`. */
export interface RolloutRow {
  /** The first optimiser step that learns from it, from 1. */
  step: number;
  /** Which rollout of the run it is from, and which prompt's group in that, from 0. */
  rollout: number;
  group: number;
  /** `file:line` of the prompt. */
  row: string;
  completion: string;
  /** Tokens, with the end token where there was one. */
  ids: readonly number[];
  ended: boolean;
  /** Weighted sum; null: unscorable. */
  reward: number | null;
  rewards: Readonly<Record<string, number | null>>;
  /** Where the method has one: that of the completion, or the mean of its tokens' (ppo). */
  advantage?: number;
  /** Where the method trains on some of the completions (raft): whether this is one. */
  selected?: boolean;
  /** Where the method learns from pairs: the completions of its group that it is chosen over, by their places in it, from 0. */
  chosen_over?: readonly number[];
}

/** An evaluation of the held-out rows. */
export interface TrainEvaluation {
  type: "evaluation";
  row: MetricRow;
  record: EvaluationRecord;
  /** What later evaluations are compared with, where this one has set it; else null. */
  baseline: EvaluationBaseline | null;
  /** The tokens of some of the pairs; null where the rows are no pairs. */
  tokens: PairTokens | null;
}

/** Why a step changed nothing. */
export type SkipReason = "not finite" | "spike";

/** A step that changed nothing. */
export interface SkippedStep {
  type: "skipped";
  step: number;
  reason: SkipReason;
  loss: number;
  gradNorm: number;
  /** `file:line` of the rows at fault; of a spike all rows of the step. */
  rows: string[];
}

/** How far token log-probs of two models lie apart, nats. */
export interface LogpDifference {
  /** Answers compared, and numbers: a log-prob for each token, or a reward for each answer. */
  answers: number;
  tokens: number;
  /** Of a reward model; left out where log-probs were compared. */
  of?: "rewards";
  maxDifference: number;
  meanDifference: number;
}

/** What the check of an export measured: its log-probs beside those of the model that was trained. */
export interface ParityResult extends LogpDifference {
  /** What was exported. */
  kind: "adapter" | "model";
  path: string;
  /** Element type of the exported weights. */
  dtype: string;
  tolerance: number;
  /** How much of the training it takes, where the run chose that; left out: the whole. */
  scale?: number;
}

/** One event. */
export type TrainEvent =
  | { type: "note"; text: string }
  | { type: "preflight"; report: PreflightReport }
  /** What the run is computed from, once it is known to be this run's. */
  | { type: "inputs"; fingerprints: Fingerprints }
  | TrainStart
  | TrainStep
  /** What was sampled and scored before a step. */
  | { type: "rollout"; rows: RolloutRow[] }
  | { type: "log"; row: MetricRow }
  | TrainEvaluation
  | SkippedStep
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
