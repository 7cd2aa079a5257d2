/** Configuration keys of on-policy runs, in which the model is trained on scored completions that it samples itself (a table). */
import { z } from "zod";
import { expectedRewardSpecs, type RewardSpec, rewardSpecs } from "./reward-specs.ts";

const JUDGE_BUDGET = {
  type: "object",
  properties: {
    requests: { type: ["number", "null"], minimum: 0, default: null },
    tokens: { type: ["number", "null"], minimum: 0, default: null },
    money: { type: ["number", "null"], minimum: 0, default: null },
  },
  additionalProperties: false,
  default: {},
} as const;
/** The price of a million tokens. */
type JudgePrice = { prompt: number; completion: number };
const JUDGE_PRICE: z.ZodType<JudgePrice | null> = z
  .strictObject({ prompt: z.number().min(0), completion: z.number().min(0) })
  .nullable()
  .default(null) as unknown as z.ZodType<JudgePrice | null>;

/** Keys of sampling, of rewards, and of how a rollout becomes steps. Names as TRL's GRPOConfig has them, where it has them. */
export const ONLINE_KEYS = {
  reward_funcs: {
    schema: rewardSpecs.nullable().default(null) as z.ZodType<RewardSpec[] | null>,
    expected: expectedRewardSpecs as string,
    doc: "What scores the completions that the model samples; giving it makes the run on-policy: train_data are prompts. A module and its export (rewards.ts#brevity), or a built-in by name or with options ({function: regex, pattern: …}).",
    source: "TRL",
  },
  reward_model: {
    schema: { type: ["string", "null"], pattern: "\\S", default: null },
    expected: "a directory" as string,
    doc: "Directory of a reward model (objective: reward writes one, transformers' …ForSequenceClassification is read) that scores the completions; it makes the run on-policy as reward_funcs does. It must have the policy's tokenizer.",
  },
  judge: {
    schema: { type: ["string", "null"], pattern: "^\\S+#\\S+$", default: null },
    expected: "URL#MODEL of an OpenAI-style endpoint" as string,
    doc: "A language model that marks the completions; it makes the run on-policy as reward_funcs does. Its key is taken from the variable PREFTUNE_JUDGE_KEY. Judgments are kept in the run directory: nothing is paid twice.",
    freeOnResume: true,
  },
  judge_mode: {
    schema: { enum: ["rating", "pairs"], default: "rating" },
    doc: "How the judge scores: a mark from 1 to 10 for each completion, or every pair of a prompt's completions in both orders.",
  },
  judge_extra: {
    schema: z.record(z.string(), z.unknown()).nullable().default(null) as z.ZodType<Readonly<
      Record<string, unknown>
    > | null>,
    expected: "a mapping of fields of the request's body to their values" as string,
    doc: "Further fields of each request to the judge; null takes a field out. Reasoning models may want {max_tokens: null, max_completion_tokens: 4096, temperature: null}.",
  },
  judge_price: {
    schema: JUDGE_PRICE as z.ZodType<JudgePrice | null>,
    expected: "a mapping of prompt and completion to the price of a million tokens" as string,
    doc: "Price of a million of the judge's input (prompt) and output (completion) tokens, for a budget of money.",
    freeOnResume: true,
  },
  judge_budget: {
    schema: JUDGE_BUDGET as typeof JUDGE_BUDGET,
    expected: "a mapping of requests, tokens or money to the most that the run may spend" as string,
    doc: "What judging may cost in the whole run. Names left out, or null: no limit.",
    freeOnResume: true,
  },
  judge_budget_spent: {
    schema: { enum: ["stop", "continue"], default: "stop" },
    doc: "When the budget does not suffice for another rollout: stop with a checkpoint, or continue without the judge's marks.",
    freeOnResume: true,
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
    doc: "Fraction of a rollout's completions for which a reward function may fail before the run stops; with judge_mode pairs, of the questions to the judge that have no verdict.",
    freeOnResume: true,
  },
  reward_timeout: {
    schema: { type: "number", exclusiveMinimum: 0, default: 10 },
    doc: "Seconds that a reward function may take for a call (the completions of a prompt, or one of them after a fault), from the start of its work. Later its process is ended, and the completions at fault are unscorable.",
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
    doc: "Sampling temperature. Log-probs in training are computed at this temperature too.",
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
    schema: { type: "integer", minimum: 0, maximum: 1023, default: 0 },
    doc: "How often a group whose rewards are all equal is sampled again, at most.",
    source: "DAPO samples other prompts",
  },
  sync_ref_model: {
    schema: { type: "boolean", default: false },
    doc: "Move the reference towards the model every ref_model_sync_steps steps. In full tuning only: with LoRA the reference is the model without its adapter.",
    source: "TRL, TR-DPO (arXiv 2404.09656)",
  },
  ref_model_mixup_alpha: {
    schema: { type: "number", minimum: 0, maximum: 1, default: 0.6 },
    doc: "How far: each weight of the reference becomes ref_model_mixup_alpha times the model's plus 1 − ref_model_mixup_alpha times what it was. 1 puts the model in its place.",
    source: "TRL",
  },
  ref_model_sync_steps: {
    schema: { type: "integer", minimum: 1, default: 512 },
    doc: "Optimiser steps from one move of the reference to the next.",
    source: "TRL",
  },
  max_sampling_logp_difference: {
    schema: { type: ["number", "null"], exclusiveMinimum: 0 },
    rule: "0.001 in float32 without a repetition_penalty, none otherwise" as string,
    doc: "Largest difference, in nats, of a token's log-prob in sampling and in training on the same weights, at the first step of a rollout; beyond it the run stops.",
    freeOnResume: true,
  },
  max_staleness: {
    schema: { type: "integer", minimum: 0, default: 0 },
    doc: "Sample and score in another process while this one trains, each rollout by the weights of so many updates ago (those of the start in the first ones). 0: in turn, by the weights as they are.",
    source: "TRL's AsyncGRPO, where it is a bound",
  },
  importance_sampling_correction: {
    schema: { type: "boolean", default: true },
    doc: "Weight the loss by the ratio of the policy at a rollout's first update to the one that sampled it.",
    source: "TRL's vllm_importance_sampling_correction",
  },
  importance_sampling_mode: {
    schema: {
      enum: ["token_truncate", "token_mask", "sequence_truncate", "sequence_mask"],
      default: "sequence_mask",
    },
    doc: "Whether a token has its own ratio or a completion the product of its tokens', and whether one out of bounds becomes the bound (truncate) or 0 (mask).",
    source: "TRL's vllm_importance_sampling_mode",
  },
  importance_sampling_clip_max: {
    schema: { type: ["number", "null"], exclusiveMinimum: 0, default: 3 },
    doc: "Upper bound of the ratio; null: none.",
    source: "TRL's vllm_importance_sampling_clip_max",
  },
  importance_sampling_clip_min: {
    schema: { type: ["number", "null"], minimum: 0, default: null },
    doc: "Lower bound of the ratio; null: none.",
    source: "TRL's vllm_importance_sampling_clip_min",
  },
  log_completions: {
    schema: { type: "boolean", default: false },
    doc: "Print some completions with their rewards at each logged step.",
    source: "TRL",
    freeOnResume: true,
  },
} as const;

/** The keys of what scores completions; any of them makes a run on-policy. */
export const REWARD_SOURCES = ["reward_funcs", "reward_model", "judge"] as const;

/** What scores completions. */
export interface RewardSources {
  reward_funcs: readonly RewardSpec[] | null;
  reward_model: string | null;
  judge: string | null;
}

/** Whether the run samples what it trains on. */
export function isOnPolicy(config: RewardSources): boolean {
  return REWARD_SOURCES.some((key) => config[key] !== null);
}

/** How many rewards a completion is given, which are weighted. */
export function rewardCount({ reward_funcs, reward_model, judge }: RewardSources): number {
  return (reward_funcs?.length ?? 0) + (reward_model === null ? 0 : 1) + (judge === null ? 0 : 1);
}
