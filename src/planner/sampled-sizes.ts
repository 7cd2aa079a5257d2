/** How much a run samples at a time: rollouts, evaluations, answers that are watched. */
import { isOnPolicy } from "../config/online-keys.ts";
import { rowsPerStep } from "../config/step-rows.ts";
import { updatesOf } from "../methods/index.ts";
import type { PlannedKeys, Workload } from "./plan-input.ts";
import type { RolloutSize } from "./sampling-memory.ts";

/** Prompts whose completions are sampled together: the default of `sampleCompletions`. */
export const promptsAtOnce = 16;

/** What a rollout samples at a time. */
export function rolloutSize(keys: PlannedKeys, { own }: Workload): RolloutSize {
  const { num_generations: n, max_completion_length: longest } = keys;
  const completions = rowsPerStep(keys) * updatesOf(keys).steps;
  const prompts = Math.min(promptsAtOnce, Math.ceil(completions / n));
  // a row has its part of the prompt
  const prompt = n * Math.max(0, ...own.map((row) => row.prompt));
  return {
    ...sizeOf(prompts, prompt, { n, longest }),
    ...filteredOf(keys, completions * longest),
    isAhead: keys.max_staleness > 0,
  };
}

/** What is held of the filters of `tokens` drawn tokens. */
function filteredOf({ top_p, top_k, min_p }: PlannedKeys, tokens: number): Pick<RolloutSize, "filtered"> {
  const isFiltered = top_p < 1 || top_k > 0 || (min_p ?? 0) > 0;
  return isFiltered ? { filtered: { tokens, most: top_k > 0 ? top_k : null } } : {};
}

/** @param prompt - tokens of one */
function sizeOf(
  prompts: number,
  prompt: number,
  { n, longest }: { n: number; longest: number },
): Pick<RolloutSize, "completions" | "cachedTokens"> {
  const completions = prompts * n;
  return { completions, cachedTokens: prompts * prompt + completions * longest };
}

/** What an evaluation of an on-policy run samples at a time; null where nothing is evaluated. */
export function evaluationSize(keys: PlannedKeys, { own, held }: Workload): RolloutSize | null {
  const {
    num_generations,
    num_generations_eval,
    eval_strategy,
    eval_on_start,
    max_completion_length: longest,
  } = keys;
  if (!isOnPolicy(keys) || (eval_strategy === "no" && !eval_on_start)) return null;
  const rows = held?.rows ?? promptsAtOnce;
  const n = num_generations_eval ?? num_generations;
  // as long as those of training: held-out ones are not always at hand
  const prompt = num_generations * Math.max(0, ...own.map((row) => row.prompt));
  return {
    ...sizeOf(Math.min(promptsAtOnce, rows), prompt, { n, longest }),
    ...filteredOf(keys, rows * n * longest),
    isAhead: false,
  };
}

/** What an evaluation samples at a time for people to read; null where nothing is watched. */
export function watchSize(keys: PlannedKeys, { mean }: Workload): RolloutSize | null {
  const { watch_prompts, watch_rows, watch_samples, watch_max_new_tokens: longest } = keys;
  if (watch_prompts === null) return null;
  const prompts = Math.min(promptsAtOnce, watch_rows);
  return { ...sizeOf(prompts, mean.prompt, { n: watch_samples, longest }), isAhead: false };
}
