/** What one measured process reports, on either side, and the numbers that follow from it. */

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
  /** 1536³ float32 at the same threads, best of five; only our side measures it. */
  gemmGflops?: number;
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

/** Whether two losses are the same up to rounding: relative difference of at most 1e-4. */
export function lossesAgree(a: number, b: number): boolean {
  return Math.abs(a - b) <= 1e-4 * Math.max(Math.abs(a), Math.abs(b));
}
