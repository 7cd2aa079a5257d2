/** What one measured process reports, on either side, and the numbers that follow from it. */
import type { RunConfig } from "../../src/config/run-config.ts";

/** The one JSON line of a run. Times in seconds, memory in MB (2^20 bytes). */
export interface RunRecord {
  losses: number[];
  /** Wall time of each step. */
  seconds: number[];
  /** CPU time of each step, all threads. */
  cpuSeconds: number[];
  peakMb: number;
  /** Peak with the libraries loaded and no model. */
  bareMb: number;
  /** 1536³ float32 at the same threads, best of five: on our side the fastest product there is, on a peer's torch's own. */
  gemmGflops: number;
}

/** Of a run of ours. */
export interface OurRecord extends RunRecord {
  pid: number;
  /** Beginning of the second step and end of the last, seconds of CLOCK_MONOTONIC. */
  measured: { from: number; to: number };
}

/** What all runs of a comparison have in common. */
export interface RunPlan {
  modelDir: string;
  workload: string;
  mode: "full" | "lora";
  pairs: number;
  steps: number;
  threads: number;
}

/** Ways in which a run of ours can differ, one technique at a time. What is left out is as in training. */
export interface Variant {
  /** False: the prompt runs through the model once for each answer. */
  share_prompt?: boolean;
  /** Answers are filled up to the longest sequence of the step, as in a rectangle; the filling is masked. */
  pads?: boolean;
  /** The head runs on the prompt's tokens too. */
  headOnPrompt?: boolean;
  /** Each pair is a separate micro-batch. */
  pairByPair?: boolean;
  logits_chunk_size?: number;
  logits_kept_mib?: number;
  gradient_checkpointing?: boolean;
  gradient_checkpointing_blocks?: number;
  activation_offloading?: boolean;
  optimizer_in_backward?: boolean;
  optim?: RunConfig["optim"];
  /** Of the frozen linears under an adapter, of a model in a directory. */
  load_in_4bit?: boolean;
  load_in_8bit?: boolean;
  /** Of activations, and of frozen weights. */
  dtype?: "float32" | "bfloat16";
  /** 0 for no clipping; default 1. */
  max_grad_norm?: number;
}

/** A run of ours: `objective` is slime, dpo, simpo; `modelDir` may be a name of shapes.ts, for weights made in the run. */
export interface OurPlan extends RunPlan {
  objective: string;
  variant?: Variant;
}

/** Smallest, middle and largest of some values. */
export interface Spread {
  min: number;
  median: number;
  max: number;
}

/** The spread of `values`, which must not be empty. */
export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (i: number) => sorted[i] ?? Number.NaN;
  const middle = (sorted.length - 1) / 2;
  return {
    min: at(0),
    median: (at(Math.floor(middle)) + at(Math.ceil(middle))) / 2,
    max: at(sorted.length - 1),
  };
}

/** "min / median / max" of the values, each times `factor`. */
export function spreadText({ min, median, max }: Spread, digits: number, factor: number = 1): string {
  return [min, median, max].map((value) => (value * factor).toFixed(digits)).join(" / ");
}

/** Whether two losses are the same up to rounding: relative difference of at most 1e-4. */
export function lossesAgree(a: number, b: number): boolean {
  return Math.abs(a - b) <= 1e-4 * Math.max(Math.abs(a), Math.abs(b));
}
