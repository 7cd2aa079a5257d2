/** Configuration keys of on-policy runs, in which the model is trained on scored completions that it samples itself (a table). */
import type { z } from "zod";
import { expectedRewardSpecs, type RewardSpec, rewardSpecs } from "./reward-specs.ts";

/** Keys of sampling, of rewards, and of how a rollout becomes steps. Names as TRL's GRPOConfig has them, where it has them. */
export const ONLINE_KEYS = {
  reward_funcs: {
    schema: rewardSpecs.nullable().default(null) as z.ZodType<RewardSpec[] | null>,
    expected: expectedRewardSpecs as string,
    doc: "What scores the completions that the model samples; giving it makes the run on-policy: train_data are prompts. A module and its export (rewards.ts#brevity), or a built-in by name or with options ({function: regex, pattern: …})..",
    source: "TRL",
  },
  reward_weights: {
    schema: { type: ["array", "null"], items: { type: "number" }, default: null },
    expected: "a list with a number for each reward function" as string,
    doc: "Weight of each reward function in the sum. null: 1 each.",
    source: "TRL",
  },
  eval_reward_funcs: {
    schema: rewardSpecs.nullable().default(null) as z.ZodType<RewardSpec[] | null>,
    expected: expectedRewardSpecs as string,
    doc: "Reward functions that training does not use: evaluations show their sum (gold) beside the reward that is trained on.",
    freeOnResume: true,
  },
  reward_max_failures: {
    schema: { type: "number", minimum: 0, maximum: 1, default: 0.5 },
    doc: "Fraction of a rollout's completions for which a reward function may fail before the run stops.",
    freeOnResume: true,
  },
  reward_timeout: {
    schema: { type: "number", exclusiveMinimum: 0, default: 10 },
    doc: "Seconds that a reward function may take for a chunk of completions, from the start of its work. Later its process is ended, and the completions at fault are unscorable.",
    freeOnResume: true,
  },
  reward_workers: {
    schema: { type: ["integer", "null"], minimum: 1, default: null },
    doc: "Processes that reward functions run in. null: by the number of cores.",
    freeOnResume: true,
  },
  num_generations: {
    schema: { type: "integer", minimum: 1, default: 8 },
    doc: "Completions sampled of each prompt: a group.",
    source: "TRL",
  },
  num_generations_eval: {
    schema: { type: ["integer", "null"], minimum: 1, default: null },
    doc: "Completions sampled of each held-out prompt at an evaluation. null: num_generations.",
    source: "TRL",
    freeOnResume: true,
  },
  max_completion_length: {
    schema: { type: "integer", minimum: 1, default: 512 },
    doc: "Longest completion, in tokens; one that gets there is cut and has no end token.",
    source: "TRL",
  },
  temperature: {
    schema: { type: "number", exclusiveMinimum: 0, default: 1 },
    doc: "Sampling temperature. Log-probs in training are of the law at this temperature.",
    source: "TRL",
  },
  top_p: {
    schema: { type: "number", exclusiveMinimum: 0, maximum: 1, default: 1 },
    doc: "Sample from the most likely tokens that together reach this probability; training renormalises over them.",
    source: "TRL",
  },
  top_k: {
    schema: { type: "integer", minimum: 0, default: 0 },
    doc: "Sample from the k most likely tokens; 0: from all.",
    source: "TRL",
  },
  min_p: {
    schema: { type: ["number", "null"], minimum: 0, maximum: 1, default: null },
    doc: "Sample from tokens at least this fraction as likely as the most likely one.",
    source: "TRL",
  },
  repetition_penalty: {
    schema: { type: "number", minimum: 0.01, maximum: 100, default: 1 },
    doc: "Penalty on tokens already in prompt or completion, in sampling only.",
    source: "TRL",
  },
  steps_per_generation: {
    schema: { type: "integer", minimum: 1, default: 1 },
    doc: "Optimiser steps that share a rollout, each with its part of the prompts: 1 is on-policy, more is a policy frozen for a round.",
    source: "TRL counts micro-batches",
  },
  num_iterations: {
    schema: { type: "integer", minimum: 1, default: 1 },
    doc: "Passes over a rollout.",
    source: "TRL",
  },
  mask_truncated_completions: {
    schema: { type: "boolean", default: false },
    doc: "Leave the tokens of completions that were cut out of the loss.",
    source: "TRL",
  },
  missing_eos_penalty: {
    schema: { type: ["number", "null"], minimum: 0, default: null },
    doc: "Taken off the reward of a completion that was cut.",
    source: "TRL",
  },
  dynamic_sampling: {
    schema: { type: "integer", minimum: 0, default: 0 },
    doc: "How often a group whose rewards are all equal is sampled again, at most.",
    source: "DAPO samples other prompts",
  },
  max_sampling_logp_difference: {
    schema: { type: ["number", "null"], exclusiveMinimum: 0 },
    rule: "0.001 in float32 without a repetition_penalty, none otherwise" as string,
    doc: "Largest difference, in nats, of a token's log-prob in sampling and in the first training pass on the same weights; beyond it the run stops.",
    freeOnResume: true,
  },
  log_completions: {
    schema: { type: "boolean", default: false },
    doc: "Print some completions with their rewards at each logged step.",
    source: "TRL",
    freeOnResume: true,
  },
} as const;

/** Whether the run samples what it trains on. */
export function isOnPolicy({ reward_funcs }: { reward_funcs: readonly RewardSpec[] | null }): boolean {
  return reward_funcs !== null;
}
