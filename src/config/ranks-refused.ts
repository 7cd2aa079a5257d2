/** What only one process can do. */
import { klOverOfSettings, methodOf, microBatchSetting } from "../methods/index.ts";
import { isOnPolicy } from "./online-keys.ts";
import type { RunConfig } from "./run-config.ts";

/** Why the run cannot be one of several ranks, and what to do: the rest of a sentence; null where it can. */
export function ranksRefused(config: Omit<RunConfig, "output_dir" | "train_data">): string | null {
  const { shard } = config;
  if (isOnPolicy(config)) {
    return (
      "an on-policy run (reward_funcs, reward_model, judge) is one process: its engine and its rewards are not shared out. " +
      "Start it without a launcher."
    );
  }
  if (methodOf(config.method.objective).over === "scores" && shard !== "auto" && shard !== "none")
    return `shard: a reward model is not divided among ranks, got ${shard}. Take none: each rank holds all of it.`;
  if (klOverOfSettings(config.method) === "micro_batch") {
    return (
      "kl_over: micro_batch (preset: trl) estimates the KL on chunks of one process's rows. Set kl_over: step (preset: paper), which no " +
      "number of ranks changes, or start it without a launcher."
    );
  }
  const ofMicroBatch = microBatchSetting(config.method);
  if (ofMicroBatch !== null) {
    return (
      `${ofMicroBatch} has a loss of micro-batches, and which rows are in one depends on the number of ranks. Set another (docs/objectives.md), ` +
      "with which no number of ranks changes the loss, or start it without a launcher."
    );
  }
  if (!config.optimizer_in_backward) return null;
  return "optimizer_in_backward is for one: a rank's gradients are parts already, and are summed before any weight changes. Leave it out.";
}
