/** `evaluation-start.json`: what a run's later evaluations are compared with. */
import { existsSync } from "node:fs";
import { parseNumbers } from "../base/json-numbers.ts";
import { readSealed } from "../base/sealed.ts";
import type { StoredLogps } from "./start-logps.ts";

/** The run's first evaluation. */
export interface EvaluationBaseline {
  step: number;
  /** Mean token log-prob of each completion, in the order of the rows. */
  means: number[];
  /** Log-prob of each of their tokens. Not in runs of earlier versions, nor of scores. */
  tokens?: StoredLogps;
  /** The step that these are of, where they could not be compared with those of `step`. */
  tokens_step?: number;
  /** Of the text that is neither chosen nor rejected: a hash of its tokens, and their mean log-prob. */
  other?: { key: string; step: number; mean: number };
  /** The mean sum of `eval_reward_funcs`, and a hash of these functions. */
  gold?: { key: string; step: number; value: number };
  /** The statistics of the collapse watch's first samples; null before there were any. */
  watch: { key: string; step: number; figures: Record<string, number> } | null;
}

/** The baseline in a file; null when there is none, or it is of another number of completions. */
export function readBaseline(path: string, completions: number): EvaluationBaseline | null {
  if (!existsSync(path)) return null;
  const baseline = readSealed(path, parseNumbers) as unknown as EvaluationBaseline;
  const isBaseline = Array.isArray(baseline.means) && baseline.means.length === completions;
  return isBaseline && typeof baseline.step === "number" && baseline.watch !== undefined ? baseline : null;
}
