/** Which keys have no effect under the other values of a configuration, whatever the method (a table). */
import { comparesOnRows, hasRatio, methodOf } from "../methods/index.ts";
import { PAIRING_KEYS } from "../methods/pairing/settings.ts";
import { presetsOf } from "./method-keys.ts";
import { isOnPolicy, ONLINE_KEYS, REWARD_SOURCES } from "./online-keys.ts";
import type { ConfigKey, RunConfig } from "./run-config.ts";
import { savesModule } from "./saved-modules.ts";
import { isCutByTokens } from "./step-rows.ts";
import { asksOnlySampled, judgesGiven } from "./watch-bounds.ts";

/** Keys that have no effect while `when` holds. */
export interface Rule {
  keys: readonly ConfigKey[];
  because: ConfigKey;
  when: (config: RunConfig) => boolean;
  reason: string | ((config: RunConfig) => string);
  /** Default: take one of the two out. */
  remedy?: string;
  /** Default: error. */
  severity?: "warning";
}

const importanceKeys = (Object.keys(ONLINE_KEYS) as ConfigKey[]).filter((key) =>
  key.startsWith("importance_sampling_"),
);

const nothingIsWatched = {
  because: "watch_prompts",
  reason: "watch_prompts is null, so nothing is watched",
  remedy: "Say in watch_prompts what is answered: eval, train or a file of prompts.",
} as const;

const noTokens: Omit<Rule, "keys" | "when"> = {
  because: "objective",
  reason: ({ method }) => `objective is ${method.objective}, whose model gives a score and no tokens`,
  remedy: "Take it out.",
};

/** The rules of all methods. Of those that name a key, the first whose condition holds counts. */
export const INACTIVE_RULES: readonly Rule[] = [
  {
    keys: ["project"],
    because: "report_to",
    when: ({ report_to }) => report_to.every((tracker) => tracker === "tensorboard"),
    reason: "report_to names no tracker with projects",
    remedy: "Add trackio, mlflow or wandb to report_to.",
  },
  {
    keys: ["preset"],
    because: "objective",
    when: ({ method }) => "preset" in method && !presetsOf(method.objective).includes(method.preset),
    reason: ({ method }) =>
      `"${"preset" in method ? method.preset : ""}" is no preset of ${method.objective}, which has ${presetsOf(method.objective).join(", ")}`,
    remedy: "Name one of these.",
  },
  {
    keys: [
      "lora_r",
      "lora_alpha",
      "lora_dropout",
      "lora_target_modules",
      "lora_modules_to_save",
      "use_rslora",
      "use_dora",
      "adapter_name_or_path",
      "export_merged",
    ],
    because: "use_peft",
    when: ({ use_peft }) => !use_peft,
    reason: "use_peft is false",
    remedy: "Set `use_peft: true` to train with LoRA, or take it out.",
  },
  {
    keys: ["bnb_4bit_quant_type", "bnb_4bit_use_double_quant"],
    because: "load_in_4bit",
    when: ({ load_in_4bit }) => !load_in_4bit,
    reason: "load_in_4bit is false",
    remedy: "Set load_in_4bit: true, or take it out.",
  },
  {
    keys: ["llm_int8_skip_modules"],
    because: "load_in_4bit",
    when: ({ load_in_4bit, load_in_8bit }) => !load_in_4bit && !load_in_8bit,
    reason: "load_in_4bit and load_in_8bit are false",
    remedy: "Set one of the two, or take it out.",
  },
  {
    keys: ["disable_dropout"],
    because: "use_peft",
    when: ({ use_peft }) => !use_peft,
    reason: "use_peft is false, and these models have no dropout but LoRA's",
    remedy: "Take it out.",
    severity: "warning",
  },
  {
    keys: ["lora_dropout"],
    because: "disable_dropout",
    when: ({ disable_dropout, lora_dropout }) => disable_dropout && lora_dropout !== 0,
    reason: "disable_dropout is true",
  },
  {
    keys: ["lora_r", "lora_alpha", "lora_target_modules", "lora_modules_to_save", "use_rslora", "use_dora"],
    because: "adapter_name_or_path",
    when: ({ adapter_name_or_path }) => adapter_name_or_path !== null,
    reason: "adapter_name_or_path decides it",
  },
  {
    keys: ["max_eval_rows"],
    because: "eval_data",
    when: ({ eval_data }) => eval_data === null,
    reason: ({ eval_fraction }) =>
      eval_fraction > 0
        ? "it counts rows of eval_data, and eval_fraction decides how many are held out"
        : "there is no eval_data",
    remedy: "Give eval_data, or take max_eval_rows out.",
  },
  {
    keys: ["per_device_eval_batch_size"],
    because: "eval_data",
    when: ({ eval_data, eval_fraction }) => eval_data === null && eval_fraction === 0,
    reason: "there are no held-out rows",
    remedy: "Give eval_data or eval_fraction, or take it out.",
  },
  {
    keys: ["eval_steps"],
    because: "eval_strategy",
    when: ({ eval_strategy }) => eval_strategy !== "steps",
    reason: ({ eval_strategy }) => `eval_strategy is ${eval_strategy}`,
  },
  {
    keys: ["metric_for_best_model", "greater_is_better"],
    because: "eval_strategy",
    when: ({ eval_strategy }) => eval_strategy === "no",
    reason: "eval_strategy is no, so no checkpoint is compared with another",
    remedy: "Set eval_strategy, with eval_data or eval_fraction, or take it out.",
  },
  {
    keys: ["save_steps"],
    because: "save_strategy",
    when: ({ save_strategy }) => save_strategy !== "steps",
    reason: ({ save_strategy }) => `save_strategy is ${save_strategy}`,
  },
  {
    keys: ["gradient_accumulation_steps"],
    because: "tokens_per_step",
    when: ({ tokens_per_step }) => tokens_per_step !== null,
    reason: "tokens_per_step decides what a step holds",
    severity: "warning",
  },
  {
    keys: ["per_device_train_batch_size"],
    because: "max_tokens_per_micro_batch",
    when: isCutByTokens,
    reason: "tokens_per_step decides what a step holds, and max_tokens_per_micro_batch how it is cut",
    severity: "warning",
  },
  {
    keys: ["train_batch_size"],
    because: "tokens_per_step",
    when: ({ tokens_per_step }) => tokens_per_step !== null,
    reason: "tokens_per_step decides what a step holds",
  },
  {
    keys: ["gradient_accumulation_steps"],
    because: "train_batch_size",
    when: ({ train_batch_size }) => train_batch_size !== null,
    reason: "it follows from train_batch_size",
  },
  {
    keys: ["keep_gathered"],
    because: "shard",
    when: ({ shard }) => shard === "none",
    reason: "shard is none, so each rank has all of the model",
  },
  {
    keys: ["share_prompt"],
    because: "objective",
    when: ({ method }) => methodOf(method.objective).over === "completions",
    reason: ({ method }) => `objective is ${method.objective}, whose rows have one answer`,
    remedy: "Take it out.",
  },
  {
    keys: ["log_entropy", "logits_chunk_size", "logits_kept_mib"],
    when: ({ method }) => methodOf(method.objective).over === "scores",
    ...noTokens,
  },
  {
    keys: ["drift_data"],
    when: ({ method, drift_data }) => methodOf(method.objective).over === "scores" && drift_data !== null,
    ...noTokens,
  },
  {
    keys: ["drift_data"],
    because: "eval_strategy",
    when: ({ eval_strategy, drift_data }) => eval_strategy === "no" && drift_data !== null,
    reason: "eval_strategy is no, so nothing is measured",
    remedy: "Give eval_data or eval_fraction, or take it out.",
  },
  {
    keys: ["final_scale_rule"],
    because: "final_scale",
    when: ({ final_scale }) => final_scale === 1,
    reason: "final_scale is 1, so no scale is chosen",
    remedy: "Set final_scale: auto, or take it out.",
  },
  {
    keys: ["watch_prompts"],
    when: ({ method, watch_prompts }) =>
      methodOf(method.objective).over === "scores" && watch_prompts !== null,
    ...noTokens,
  },
  {
    keys: ["logits_kept_mib"],
    because: "lora_modules_to_save",
    when: isHeadFrozen,
    reason: "the head is not trained, so nothing of it is kept",
    remedy: "Take it out, or train the head: lora_modules_to_save: [lm_head].",
  },
  {
    keys: ["watch_rows", "watch_samples", "watch_temperature", "watch_max_new_tokens"],
    when: ({ watch_prompts }) => watch_prompts === null,
    ...nothingIsWatched,
  },
  {
    keys: ["watch_action"],
    when: (config) => config.watch_prompts === null && !isOnPolicy(config) && !judgesGiven(config),
    ...nothingIsWatched,
  },
  {
    keys: ["watch_thresholds"],
    when: (config) => config.watch_prompts === null && !isOnPolicy(config) && asksOnlySampled(config),
    ...nothingIsWatched,
  },
  {
    keys: ["watch_thresholds", "watch_action"],
    because: "eval_strategy",
    when: ({ eval_strategy, watch_prompts }) => eval_strategy === "no" && watch_prompts === null,
    reason: "eval_strategy is no, so nothing is measured that they could judge",
    remedy: "Give eval_data or eval_fraction, or take it out.",
  },
  {
    keys: ["sync_ref_model"],
    because: "reward_funcs",
    when: (config) => !isOnPolicy(config),
    reason: "on rows the reference stays as it is, and one that moves is offered on own answers alone",
    remedy: "Take it out.",
  },
  {
    keys: ([...Object.keys(ONLINE_KEYS), ...Object.keys(PAIRING_KEYS)] as ConfigKey[]).filter(
      (key) => !REWARD_SOURCES.some((source) => source === key),
    ),
    because: "reward_funcs",
    when: (config) => !isOnPolicy(config),
    reason: "reward_funcs is null, so nothing is sampled",
    remedy: "Give reward_funcs to train on-policy, or take it out.",
  },
  {
    keys: ["eval_reward_funcs", "num_generations_eval"],
    because: "eval_strategy",
    when: ({ eval_strategy, eval_on_start }) => eval_strategy === "no" && !eval_on_start,
    reason: "eval_strategy is no, so nothing is evaluated",
    remedy: "Give eval_data or eval_fraction, or take it out.",
  },
  {
    keys: importanceKeys,
    because: "max_staleness",
    when: ({ max_staleness }) => max_staleness === 0,
    reason: "max_staleness is 0, so completions are of the very weights that are trained",
  },
  {
    keys: importanceKeys,
    because: "objective",
    when: ({ method }) => !hasRatio(method.objective),
    reason: ({ method }) => `objective is ${method.objective}, whose loss has no ratio`,
    remedy: "Take it out.",
  },
  {
    keys: importanceKeys.filter((key) => key !== "importance_sampling_correction"),
    because: "importance_sampling_correction",
    when: ({ importance_sampling_correction }) => !importance_sampling_correction,
    reason: "importance_sampling_correction is false",
  },
  {
    keys: ["steps_per_generation", "num_iterations"],
    because: "objective",
    when: ({ method }) => methodOf(method.objective).updates !== undefined,
    reason: ({ method }) =>
      `objective is ${method.objective}, which has other keys for how often a rollout is used`,
    remedy: "Take it out.",
  },
  {
    keys: ["ref_model_mixup_alpha", "ref_model_sync_steps"],
    because: "sync_ref_model",
    when: ({ sync_ref_model }) => !sync_ref_model,
    reason: "sync_ref_model is false, so the reference stays",
    remedy: "Set sync_ref_model: true, or take it out.",
  },
  {
    keys: ["judge_mode", "judge_extra", "judge_price", "judge_budget", "judge_budget_spent"],
    because: "judge",
    when: ({ judge }) => judge === null,
    reason: "judge is null, so nothing is judged",
  },
  {
    keys: ["reward_timeout", "reward_workers"],
    because: "reward_funcs",
    when: ({ reward_funcs, eval_reward_funcs }) => reward_funcs === null && eval_reward_funcs === null,
    reason: "there are no reward functions",
  },
  {
    keys: ["reward_max_failures"],
    because: "reward_funcs",
    when: ({ reward_funcs, eval_reward_funcs, judge }) =>
      reward_funcs === null && eval_reward_funcs === null && judge === null,
    reason: "a reward model alone scores completions, and scores them all",
    remedy: "Take it out.",
  },
  {
    keys: ["tokens_per_step"],
    because: "reward_funcs",
    when: isOnPolicy,
    reason: "completions are counted in an on-policy run",
    remedy: "Give per_device_train_batch_size and gradient_accumulation_steps.",
  },
  {
    keys: ["precompute_ref_log_probs", "reference_cache_dir"],
    because: "reward_funcs",
    when: isOnPolicy,
    reason: "the reference scores completions as they are sampled",
    remedy: "Take it out.",
  },
  {
    keys: ["precompute_ref_log_probs", "reference_cache_dir"],
    because: "lambda_start",
    when: (config) =>
      !isOnPolicy(config) && "lambda_start" in config.method && !comparesOnRows(config.method),
    reason: "lambda_start is 0 and chosen_floor null, so nothing is compared with the start",
  },
  {
    keys: ["num_train_epochs"],
    because: "max_steps",
    when: ({ max_steps }) => max_steps > 0,
    reason: "max_steps decides when training ends",
    severity: "warning",
  },
  {
    keys: ["gradient_checkpointing_blocks", "activation_offloading"],
    because: "gradient_checkpointing",
    when: ({ gradient_checkpointing }) => !gradient_checkpointing,
    reason: "gradient_checkpointing is false",
  },
  {
    keys: ["reference_cache_dir"],
    because: "precompute_ref_log_probs",
    when: ({ precompute_ref_log_probs }) => !precompute_ref_log_probs,
    reason: "precompute_ref_log_probs is false",
  },
];

/** Whether LoRA leaves the head, and the embedding that may be tied to it, as it is. An adapter's own file may say otherwise. */
function isHeadFrozen(config: RunConfig): boolean {
  const trained = savesModule(config, "lm_head") || savesModule(config, "embed_tokens");
  return config.use_peft && config.adapter_name_or_path === null && !trained;
}
