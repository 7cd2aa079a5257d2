/** Every key of the configuration: used in every run, or refused where it would have no effect. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ConfigError } from "../base/errors.ts";
import { methodNames } from "../methods/index.ts";
import { CONFIG_KEYS, fieldOf } from "./keys.ts";
import { loadConfig, type ResolvedConfig } from "./load-config.ts";
import type { ConfigKey } from "./run-config.ts";

/** Keys that every run uses, whatever else it is told. */
const ALWAYS: readonly ConfigKey[] = [
  "model_name_or_path",
  "output_dir",
  "run_name",
  "dtype",
  "device",
  "threads",
  "seed",
  "train_data",
  "data_order",
  "reward_funcs",
  "reward_model",
  "judge",
  "eval_data",
  "columns",
  "max_train_rows",
  "max_length",
  "report_to",
  "overflow",
  "invalid_rows",
  "chat_template",
  "objective",
  "learning_rate",
  "optim",
  "lr_scheduler_type",
  "weight_decay",
  "adam_beta1",
  "adam_beta2",
  "adam_epsilon",
  "max_grad_norm",
  "max_steps",
  "tokens_per_step",
  "gradient_checkpointing",
  "max_nonfinite_steps",
  "skip_step_sigma",
  "logging_steps",
  "eval_strategy",
  "save_strategy",
  // refused where there is nothing to choose by
  "final_scale",
  // a stop by Ctrl-C writes a checkpoint whatever the strategy, and old ones are taken away by this
  "save_total_limit",
  "resume_from_checkpoint",
  "export_parity_tolerance",
  // refused for a model without other parts, which is known only once it is there
  "export_text_only",
  "use_peft",
  // in full tuning refused for what it would do, not for doing nothing
  "load_in_4bit",
  "load_in_8bit",
  // refused where it would do nothing
  "offload_embedding",
  // on a GPU refused for being of the CPU alone
  "batch_invariant",
  // a template without a thinking mode is known only once the model is there
  "enable_thinking",
  // rows alone tell whether there are plain strings or answers with tools
  "plain_strings",
  "mask_tool_output",
  // leave to do something, which changes nothing by itself
  "allow_small_beta",
  // how many ranks there are is known only once they have met
  "shard",
  "rank_start_timeout",
  "rank_timeout",
];

const grpo = { objective: "grpo", reward_funcs: ["length"] };
const judged = { reward_funcs: null, reward_model: "m", judge: null };
const fourPrompts = {
  ...{ reward_funcs: ["length"], num_generations: 2 },
  ...{ per_device_train_batch_size: 8, gradient_accumulation_steps: 1 },
};
const held = { eval_data: "held.jsonl" };
/** Nothing that could be judged of given answers, and none sampled. */
const unwatched = { watch_prompts: null, watch_thresholds: { chosen_fall: null } };

/** A configuration in which the key is of no use, and what is said of it. */
const USELESS: readonly [ConfigKey, Record<string, unknown>, RegExp][] = [
  ["project", { report_to: ["tensorboard"], project: "p" }, /names no tracker with projects/],
  ["preset", { preset: "authors" }, /"authors" is no preset of slime, which has balanced, script/],
  // TRL: the ipo loss, (logits - 1/(2 beta))^2, reads no label_smoothing (DPOTrainer.dpo_loss)
  ["keep_gathered", { shard: "none", keep_gathered: true }, /each rank has all of the model/],
  ["train_batch_size", { tokens_per_step: 4096, train_batch_size: 8 }, /tokens_per_step decides/],
  ["gradient_accumulation_steps", { train_batch_size: 8, gradient_accumulation_steps: 1 }, /follows from/],
  [
    "label_smoothing",
    { objective: "dpo", loss_type: "ipo", label_smoothing: 0.1 },
    /loss_type names none of them/,
  ],
  [
    "label_smoothing",
    { objective: "dpo", loss_type: "ipo", label_smoothing: 0 },
    /loss_type names none of them/,
  ],
  ["delta", { lambda_l: 0, delta: 1 }, /lambda_l is 0/],
  ["power", { lambda_l: 0, power: 2 }, /lambda_l is 0/],
  ["margin_hard", { lambda_d: 0, margin_hard: 2 }, /lambda_d is 0/],
  ["margin_soft", { lambda_d: 0, margin_soft: 1 }, /lambda_d is 0/],
  ["kappa", { lambda_d: 0, kappa: 2 }, /lambda_d is 0/],
  ["lora_r", { lora_r: 8 }, /use_peft is false.*use_peft: true/],
  ["lora_r", { use_peft: true, adapter_name_or_path: "a", lora_r: 8 }, /adapter_name_or_path decides it/],
  ["lora_alpha", { lora_alpha: 8 }, /use_peft is false/],
  ["lora_dropout", { lora_dropout: 0.1 }, /use_peft is false/],
  ["lora_dropout", { use_peft: true, disable_dropout: true, lora_dropout: 0.1 }, /disable_dropout is true/],
  ["lora_target_modules", { lora_target_modules: "all-linear" }, /use_peft is false/],
  ["lora_modules_to_save", { lora_modules_to_save: ["lm_head"] }, /use_peft is false/],
  ["use_rslora", { use_rslora: true }, /use_peft is false/],
  ["use_dora", { use_dora: true }, /use_peft is false/],
  ["bnb_4bit_quant_type", { use_peft: true, bnb_4bit_quant_type: "fp4" }, /load_in_4bit is false/],
  [
    "bnb_4bit_use_double_quant",
    { load_in_8bit: true, bnb_4bit_use_double_quant: true },
    /load_in_4bit is false/,
  ],
  ["llm_int8_skip_modules", { use_peft: true, llm_int8_skip_modules: ["o_proj"] }, /load_in_8bit are false/],
  ["adapter_name_or_path", { adapter_name_or_path: "a" }, /use_peft is false/],
  ["export_merged", { export_merged: true }, /use_peft is false/],
  ["max_eval_rows", { max_eval_rows: 8 }, /there is no eval_data. Give eval_data/],
  ["max_eval_rows", { max_eval_rows: 8, eval_fraction: 0.1 }, /eval_fraction decides how many/],
  ["per_device_eval_batch_size", { per_device_eval_batch_size: 4 }, /there are no held-out rows/],
  ["eval_steps", { ...held, eval_strategy: "epoch", eval_steps: 5 }, /eval_strategy is epoch/],
  ["metric_for_best_model", { metric_for_best_model: "eval_loss" }, /eval_strategy is no/],
  ["greater_is_better", { greater_is_better: true }, /eval_strategy is no/],
  ["save_steps", { save_strategy: "epoch", save_steps: 5 }, /save_strategy is epoch/],
  ["share_prompt", { objective: "sft", share_prompt: true }, /objective is sft/],
  ["logits_kept_mib", { use_peft: true, logits_kept_mib: 8 }, /the head is not trained/],
  ["final_scale_rule", { final_scale_rule: { max: "chosen" } }, /final_scale is 1/],
  ["watch_rows", { watch_rows: 1 }, /watch_prompts is null.*eval, train or a file/],
  ["watch_samples", { watch_samples: 1 }, /watch_prompts is null/],
  ["watch_temperature", { watch_temperature: 1 }, /watch_prompts is null/],
  ["watch_max_new_tokens", { watch_max_new_tokens: 1 }, /watch_prompts is null/],
  ["watch_thresholds", { watch_thresholds: { length: 6 } }, /watch_prompts is null/],
  ["watch_action", { watch_action: "stop" }, /eval_strategy is no/],
  ["watch_action", { ...held, ...unwatched, watch_action: "stop" }, /watch_prompts is null/],
  ["watch_thresholds", { ...held, watch_prompts: null, watch_thresholds: { length: 6 } }, /watch_prompts is/],
  ["watch_prompts", { objective: "reward", ...held, watch_prompts: "eval" }, /a score and no tokens/],
  ["drift_data", { objective: "reward", ...held, drift_data: "x.jsonl" }, /a score and no tokens/],
  ["drift_data", { drift_data: "x.jsonl" }, /eval_strategy is no, so nothing is measured/],
  ["log_entropy", { objective: "reward", log_entropy: true }, /a score and no tokens/],
  ["logits_chunk_size", { objective: "reward", logits_chunk_size: 64 }, /a score and no tokens/],
  ["logits_kept_mib", { objective: "reward", logits_kept_mib: 64 }, /a score and no tokens/],
  ["reward_weights", { reward_weights: [1] }, /reward_funcs is null.*Give reward_funcs/],
  ["eval_reward_funcs", { eval_reward_funcs: ["length"] }, /reward_funcs is null/],
  ["reward_max_failures", { reward_max_failures: 0.1 }, /reward_funcs is null/],
  ["judge_mode", { judge_mode: "pairs" }, /reward_funcs is null/],
  ["judge_extra", { ...judged, judge: null, judge_extra: { seed: 1 } }, /judge is null/],
  ["judge_price", { ...judged, judge: null, judge_price: { prompt: 1, completion: 2 } }, /judge is null/],
  ["judge_budget", { ...judged, judge: null, judge_budget: { requests: 3 } }, /judge is null/],
  ["judge_budget_spent", { ...judged, judge: null, judge_budget_spent: "continue" }, /judge is null/],
  ["reward_timeout", { ...judged, reward_timeout: 5 }, /there are no reward functions/],
  [
    "reward_max_failures",
    { ...judged, reward_max_failures: 0.1 },
    /a reward model alone scores.*Take it out/,
  ],
  ["epsilon", { ...grpo, loss_type: "cispo", epsilon: 0.1 }, /cispo, which epsilon_high alone bounds/],
  ["anchor_on", { reward_funcs: ["length"], lambda_w: 0, anchor_on: "positive" }, /lambda_w is 0/],
  [
    "anchor_threshold",
    { reward_funcs: ["length"], lambda_w: 0, anchor_threshold: 1 },
    /lambda_w is 0, so there is no anchor/,
  ],
  ["reward_workers", { reward_workers: 2 }, /reward_funcs is null/],
  ["eval_reward_funcs", { ...judged, eval_reward_funcs: ["length"] }, /nothing is evaluated.*Give eval_data/],
  ["num_generations_eval", { ...judged, num_generations_eval: 2 }, /nothing is evaluated/],
  ["steps_per_generation", { ...judged, objective: "ppo", steps_per_generation: 2 }, /has other keys/],
  ["num_iterations", { ...judged, objective: "ppo", num_iterations: 2 }, /has other keys/],
  ["num_generations", { num_generations: 4 }, /reward_funcs is null/],
  ["num_generations_eval", { num_generations_eval: 2 }, /reward_funcs is null/],
  ["max_completion_length", { max_completion_length: 64 }, /reward_funcs is null/],
  ["temperature", { temperature: 0.7 }, /reward_funcs is null/],
  ["top_p", { top_p: 0.9 }, /reward_funcs is null/],
  ["top_k", { top_k: 20 }, /reward_funcs is null/],
  ["min_p", { min_p: 0.1 }, /reward_funcs is null/],
  ["repetition_penalty", { repetition_penalty: 1.1 }, /reward_funcs is null/],
  ["steps_per_generation", { steps_per_generation: 2 }, /reward_funcs is null/],
  ["num_iterations", { num_iterations: 2 }, /reward_funcs is null/],
  ["mask_truncated_completions", { mask_truncated_completions: true }, /reward_funcs is null/],
  ["missing_eos_penalty", { missing_eos_penalty: 1 }, /reward_funcs is null/],
  ["dynamic_sampling", { dynamic_sampling: 1 }, /reward_funcs is null/],
  ["max_sampling_logp_difference", { max_sampling_logp_difference: 0.1 }, /reward_funcs is null/],
  ["log_completions", { log_completions: true }, /reward_funcs is null/],
  ["sync_ref_model", { objective: "dpo", sync_ref_model: true }, /on rows the reference stays.*Take it out/],
  ["kl_coef", { ...grpo, kl_coef: 0.1 }, /take it out, or write beta, its weight of a KL, or set another/],
  ["replay", { ...grpo, objective: "rloo", replay: 0.5 }, /or write beta/],
  ["replay", { objective: "raft", reward_funcs: ["length"], replay: 0.5 }, /take it out, or set another/],
  ["ref_model_mixup_alpha", { ...judged, ref_model_mixup_alpha: 0.5 }, /sync_ref_model is false/],
  ["ref_model_sync_steps", { ...judged, ref_model_sync_steps: 8 }, /sync_ref_model is false/],
  ["max_staleness", { max_staleness: 1 }, /reward_funcs is null/],
  [
    "importance_sampling_correction",
    { ...grpo, importance_sampling_correction: false },
    /max_staleness is 0/,
  ],
  ["importance_sampling_mode", { ...grpo, importance_sampling_mode: "token_mask" }, /max_staleness is 0/],
  [
    "importance_sampling_clip_max",
    { ...judged, max_staleness: 1, importance_sampling_clip_max: 2 },
    /slime, whose loss has no ratio/,
  ],
  [
    "importance_sampling_clip_min",
    { ...grpo, max_staleness: 1, importance_sampling_correction: false, importance_sampling_clip_min: 0.5 },
    /importance_sampling_correction is false/,
  ],
  [
    "replay_coef",
    { reward_funcs: ["length"], replay: 1, replay_coef: 0.8 },
    /SLIME weighs what is replayed by lambda_w. Take it out/,
  ],
  [
    "anchor_on",
    { objective: "dpo", reward_funcs: ["length"], anchor_on: "positive" },
    /DPO has no anchor.*Take it out/,
  ],
  [
    "anchor_threshold",
    { objective: "simpo", reward_funcs: ["length"], anchor_threshold: 1 },
    /SimPO has no anchor/,
  ],
  ["gradient_checkpointing_blocks", { gradient_checkpointing_blocks: 1 }, /gradient_checkpointing is false/],
  ["activation_offloading", { activation_offloading: true }, /gradient_checkpointing is false/],
  [
    "reference_cache_dir",
    { objective: "dpo", use_peft: true, precompute_ref_log_probs: false, reference_cache_dir: "r" },
    /precompute_ref_log_probs is false/,
  ],
];

/** Pairs of values that contradict each other or need another, refused with words of their own. */
const CONTRADICTED: readonly [ConfigKey, Record<string, unknown>, RegExp][] = [
  ["warmup_steps", { warmup_steps: 1, warmup_ratio: 0.1 }, /are both set/],
  ["warmup_ratio", { warmup_steps: 1, warmup_ratio: 0.1 }, /are both set/],
  [
    "warmup_ratio",
    { lr_scheduler_type: "constant", warmup_ratio: 0.1 },
    /has no warm-up.*Write lr_scheduler_type: constant_with_warmup/,
  ],
  ["warmup_steps", { lr_scheduler_type: "constant", warmup_steps: 3 }, /has no warm-up/],
  ["eval_fraction", { ...held, eval_fraction: 0.1 }, /eval_data is given too/],
  ["eval_on_start", { eval_on_start: true }, /there are no held-out rows/],
  ["load_best_model_at_end", { load_best_model_at_end: true }, /needs evaluation during training/],
  ["early_stopping_patience", { early_stopping_patience: 2 }, /needs evaluation during training/],
  [
    "replay",
    { ...fourPrompts, replay: 0.1 },
    /replay: of a step's prompts it is 0.4 rows, which is rounded to none. Give at least 0.125 for one, or 0/,
  ],
  ["replay", { ...fourPrompts, replay: 1, lambda_w: 0 }, /weighed by lambda_w, which is 0/],
  [
    "replay",
    { ...fourPrompts, objective: "dpo", replay: 1, replay_coef: 0 },
    /weighed by replay_coef, which is 0/,
  ],
  ["optimizer_in_backward", { optimizer_in_backward: true }, /clipping needs all gradients/],
  [
    "optimizer_in_backward",
    { ...fourPrompts, replay: 0.5, optimizer_in_backward: true, max_grad_norm: 0 },
    /8 completions and 2 replayed rows, more .* at least 10 with train_batch_size: 8, or take replay out/,
  ],
  ["precompute_ref_log_probs", { objective: "dpo", precompute_ref_log_probs: false }, /needs use_peft/],
  [
    "gamma_beta_ratio",
    { objective: "simpo", gamma_beta_ratio: 1, simpo_gamma: 9 },
    /are both set and disagree/,
  ],
  ["simpo_gamma", { objective: "simpo", gamma_beta_ratio: 1, simpo_gamma: 9 }, /are both set and disagree/],
];

/** Keys whose uselessness changes nothing that was asked for: told, not refused. */
const WARNED: readonly [ConfigKey, Record<string, unknown>, RegExp][] = [
  ["num_train_epochs", { max_steps: 5, num_train_epochs: 2 }, /max_steps decides/],
  [
    "per_device_train_batch_size",
    { tokens_per_step: 4096, max_tokens_per_micro_batch: 1024, per_device_train_batch_size: 2 },
    /max_tokens_per_micro_batch how it is cut/,
  ],
  ["gradient_accumulation_steps", { tokens_per_step: 4096, gradient_accumulation_steps: 2 }, /decides what/],
  ["max_tokens_per_micro_batch", { tokens_per_step: 2048, max_tokens_per_micro_batch: 4096 }, /no effect/],
  ["disable_dropout", { disable_dropout: true }, /no dropout but LoRA's.*Take it out/],
];

function load(values: Record<string, unknown>): ResolvedConfig {
  return loadConfig({
    values: { model_name_or_path: "m", output_dir: "out", train_data: "a.jsonl", ...values },
  });
}

function problemOf(values: Record<string, unknown>): string {
  try {
    load(values);
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.message;
  }
  return assert.fail(`accepted: ${JSON.stringify(values)}`);
}

test("every key is one of those that are always used, or has a case here in which it is not", () => {
  const known = new Set<ConfigKey>(ALWAYS);
  for (const [key] of [...USELESS, ...CONTRADICTED, ...WARNED]) known.add(key);
  const ofObjectives = CONFIG_KEYS.filter((key) => fieldOf(key).objectives !== undefined);
  const missing = CONFIG_KEYS.filter((key) => !known.has(key) && !ofObjectives.includes(key));
  assert.deepEqual(missing, []);
});

test("a key without effect is refused with the key that decides, and what to do", () => {
  for (const [key, values, reason] of USELESS) {
    const message = problemOf(values);
    assert.match(message, new RegExp(`${key} has no effect here: `));
    assert.match(message, reason);
  }
});

test("a key of another objective is refused, whichever it is", () => {
  const sample: Partial<Record<ConfigKey, unknown>> = {
    preset: "script",
    train_on: "last",
    loss_type: "ipo",
    loss_weights: [1],
    nll_over: "answer",
    importance_sampling_level: "token",
    scale_rewards: "group",
    reward_clip_range: [-1, 1],
    kl_estimator: "k1",
    pairs: "ranked",
    anchor_on: "positive",
    kl_in: "reward",
    kl_over: "step",
  };
  for (const key of CONFIG_KEYS) {
    const { objectives, check } = fieldOf(key);
    if (objectives === undefined) continue;
    const value = [sample[key], 0.25, 2, true, "x"].find((one) => check(one).success);
    for (const objective of methodNames) {
      if (objectives.includes(objective)) continue;
      assert.match(problemOf({ objective, [key]: value }), new RegExp(`${key} has no effect.*${objective}`));
    }
  }
});

test("values that contradict each other are refused", () => {
  for (const [key, values, reason] of CONTRADICTED) {
    const message = problemOf(values);
    assert.ok(message.includes(key), message);
    assert.match(message, reason);
  }
});

test("the least replay that is one row is taken, and each objective's weight of it", () => {
  load({ ...fourPrompts, replay: 0.125 });
  load({ ...fourPrompts, objective: "dpo", replay: 1, replay_coef: 0.8 });
  load({ ...fourPrompts, anchor_on: "positive", anchor_threshold: 1 });
  const atOnce = { replay: 0.5, optimizer_in_backward: true, max_grad_norm: 0 };
  const { gradient_accumulation_steps: _, ...ofStep } = fourPrompts;
  load({ ...ofStep, ...atOnce, train_batch_size: 8, per_device_train_batch_size: 10 });
});

test("where a key without effect is only told of, the run is the one that was asked for", () => {
  for (const [key, values, reason] of WARNED) {
    const told = load(values).warnings.filter((text) => text.includes(key));
    assert.equal(told.length, 1, key);
    assert.match(told[0] ?? "", reason);
  }
});

test("a step counted in tokens is cut by rows where no cap on tokens is given, as the data's steps are", () => {
  const { config, warnings } = load({
    ...held,
    ...{ tokens_per_step: 16_384, per_device_train_batch_size: 1 },
  });
  assert.equal(config.per_device_train_batch_size, 1);
  assert.equal(config.per_device_eval_batch_size, 1);
  assert.deepEqual(warnings, []);
});
