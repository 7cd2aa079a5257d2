/** Checks across keys of a configuration in which every value is filled in (a table). */
import { didYouMean } from "../base/suggest.ts";
import { isGreedyAt } from "../base/temperature.ts";
import { comparesOnRows, klOverOfSettings, methodOf, microBatchSetting } from "../methods/index.ts";
import type { Check } from "../methods/method.ts";
import { error, warning } from "./check.ts";
import { FINAL_SCALE_CHECKS } from "./final-scale-checks.ts";
import type { MetricInfo } from "./metric-info.ts";
import { evaluatedMetrics, metricInfo } from "./metric-names.ts";
import { ON_POLICY_CHECKS } from "./on-policy-checks.ts";
import { isOnPolicy } from "./online-keys.ts";
import type { ConfigKey, RunConfig } from "./run-config.ts";
import { savesModule } from "./saved-modules.ts";
import { rowsPerStep } from "./step-rows.ts";
import { BOUND_CHECKS } from "./watch-bounds.ts";

/** What a check found; `key` is where it is reported. */
export interface ConfigIssue {
  key: ConfigKey;
  severity: Check<RunConfig>["severity"];
  text: string;
}

/** Everything wrong or doubtful in `config`. */
export function checkConfig(config: RunConfig): ConfigIssue[] {
  const checks = [...CHECKS, ...BOUND_CHECKS, ...FINAL_SCALE_CHECKS, ...ON_POLICY_CHECKS];
  return [...checkMethod(config), ...issuesOf(checks, config)];
}

/** What is wrong or doubtful in the settings of the method by themselves. */
export function checkMethod({ method }: RunConfig): ConfigIssue[] {
  return issuesOf(methodOf(method.objective).checks ?? [], { ...method });
}

function issuesOf<Settings>(checks: readonly Check<Settings>[], settings: Settings): ConfigIssue[] {
  return checks
    .filter(({ when }) => when(settings))
    .map(({ key, severity, text }) => ({ key: key as ConfigKey, severity, text: text(settings) }));
}

function hasHeldOutRows({ eval_data, eval_fraction }: RunConfig): boolean {
  return eval_data !== null || eval_fraction > 0;
}

/** Modules that are to be trained in full and by LoRA. */
function trainedTwice({ use_peft, lora_target_modules: targets, lora_modules_to_save }: RunConfig): string[] {
  return use_peft && targets !== "all-linear"
    ? lora_modules_to_save.filter((name) => targets.includes(name))
    : [];
}

/** What evaluations of the run can measure. */
function metricsOf(config: RunConfig): readonly MetricInfo[] {
  return evaluatedMetrics(config.method.objective, isOnPolicy(config));
}

function similarMetric(config: RunConfig): string {
  const known = metricsOf(config).map(({ key }) => `eval_${key}`);
  return didYouMean(config.metric_for_best_model, known);
}

const evaluateFirst = "needs evaluation during training: set eval_strategy.";
const giveHeldOutRows = "Give eval_data or eval_fraction.";

const CHECKS: readonly Check<RunConfig>[] = [
  error(
    "train_batch_size",
    (config) =>
      klOverOfSettings(config.method) === "step" &&
      config.tokens_per_step === null &&
      rowsPerStep(config) === 1,
    ({ train_batch_size }) =>
      `a step has one row, and the KL estimate takes for each row the answer of another of the step. Give it at least 2 rows, better 8 (${train_batch_size === null ? "per_device_train_batch_size, gradient_accumulation_steps" : "train_batch_size"}), or set loss_type: apo_zero_unpaired, which needs no KL.`,
  ),
  error(
    "per_device_train_batch_size",
    (config) => klOverOfSettings(config.method) === "micro_batch" && config.per_device_train_batch_size === 1,
    "a micro-batch has one row, and with kl_over: micro_batch (preset: trl) its KL would be its own log-ratio. Give it at least 2 rows, or set kl_over: step.",
  ),
  ...(["tokens_per_step", "max_tokens_per_micro_batch"] as const).map((key) =>
    error(
      key,
      (config) => klOverOfSettings(config.method) === "micro_batch" && config[key] !== null,
      "kl_over: micro_batch (preset: trl) estimates the KL on chunks of per_device_train_batch_size rows. Take it out, or set kl_over: step.",
    ),
  ),
  warning(
    "max_tokens_per_micro_batch",
    ({ method, max_tokens_per_micro_batch: most }) => most !== null && microBatchSetting(method) !== null,
    ({ method }) =>
      `${microBatchSetting(method)} divides by what a micro-batch has, so that this cut changes loss and gradient. Take it out to divide by that of per_device_train_batch_size rows.`,
  ),
  error(
    "precompute_ref_log_probs",
    ({ method, precompute_ref_log_probs, use_peft }) =>
      comparesOnRows(method) && !precompute_ref_log_probs && !use_peft,
    "false needs use_peft: in full tuning there is no adapter to switch off. Leave it true.",
  ),
  error(
    "warmup_steps",
    ({ warmup_ratio, warmup_steps }) => warmup_ratio > 0 && warmup_steps > 0,
    ({ warmup_ratio, warmup_steps }) =>
      `warmup_ratio ${warmup_ratio} and warmup_steps ${warmup_steps} are both set. Keep one of them.`,
  ),
  ...(["warmup_ratio", "warmup_steps"] as const).map((key) =>
    error(
      key,
      (config) => config.lr_scheduler_type === "constant" && config[key] > 0,
      "lr_scheduler_type: constant has no warm-up, as in transformers. Write lr_scheduler_type: constant_with_warmup, or take it out.",
    ),
  ),
  warning(
    "warmup_steps",
    ({ max_steps, warmup_steps }) => max_steps > 0 && warmup_steps >= max_steps,
    ({ max_steps, warmup_steps }) => `${warmup_steps} of ${max_steps} steps: training is all warm-up.`,
  ),
  error(
    "eval_fraction",
    ({ eval_data, eval_fraction }) => eval_data !== null && eval_fraction > 0,
    "eval_data is given too. Keep one of them.",
  ),
  error(
    "eval_strategy",
    (config) => !hasHeldOutRows(config) && config.eval_strategy !== "no",
    ({ eval_strategy }) => `${eval_strategy} without held-out rows. ${giveHeldOutRows}`,
  ),
  error(
    "eval_on_start",
    // with another eval_strategy that is the problem, and this only follows from it
    (config) => !hasHeldOutRows(config) && config.eval_on_start && config.eval_strategy === "no",
    `there are no held-out rows. ${giveHeldOutRows}`,
  ),
  error(
    "load_best_model_at_end",
    ({ eval_strategy, load_best_model_at_end }) => eval_strategy === "no" && load_best_model_at_end,
    evaluateFirst,
  ),
  error(
    "early_stopping_patience",
    ({ eval_strategy, early_stopping_patience }) =>
      eval_strategy === "no" && early_stopping_patience !== null,
    evaluateFirst,
  ),
  warning(
    "metric_for_best_model",
    ({ eval_strategy, metric_for_best_model: metric }) =>
      eval_strategy !== "no" && metricInfo(metric) === null,
    (config) =>
      `"${config.metric_for_best_model}" is not a metric of preftune's own.${similarMetric(config)}`,
  ),
  error(
    "metric_for_best_model",
    (config) => {
      const info = metricInfo(config.metric_for_best_model);
      const isMissing = info !== null && !metricsOf(config).some(({ key }) => key === info.key);
      return config.eval_strategy !== "no" && isMissing;
    },
    (config) =>
      `evaluations of ${config.method.objective}${isOnPolicy(config) ? " on-policy" : ""} have no ` +
      `"${config.metric_for_best_model}".${similarMetric(config)} docs/metrics.md says which runs and rows have what.`,
  ),
  error(
    "watch_prompts",
    ({ watch_prompts, eval_strategy }) => watch_prompts !== null && eval_strategy === "no",
    "needs evaluation during training: set eval_strategy, with held-out rows.",
  ),
  warning(
    "watch_prompts",
    ({ watch_prompts, eval_on_start }) => watch_prompts !== null && !eval_on_start,
    "eval_on_start is false: the first evaluation, of a model already trained, counts as the start.",
  ),
  error(
    "watch_samples",
    ({ watch_prompts, watch_temperature, watch_samples }) =>
      watch_prompts !== null && isGreedyAt(watch_temperature) && watch_samples > 1,
    ({ watch_samples, watch_temperature }) =>
      `${watch_samples} answers at temperature ${watch_temperature} are all the same. Set it to 1.`,
  ),
  warning(
    "max_tokens_per_micro_batch",
    ({ tokens_per_step: step, max_tokens_per_micro_batch: micro }) =>
      step !== null && micro !== null && micro > step,
    ({ tokens_per_step, max_tokens_per_micro_batch }) =>
      `${max_tokens_per_micro_batch} is above tokens_per_step ${tokens_per_step} and has no effect.`,
  ),
  warning(
    "tokens_per_step",
    ({ tokens_per_step, max_length }) => tokens_per_step !== null && tokens_per_step < max_length,
    ({ tokens_per_step, max_length }) =>
      `${tokens_per_step} is below max_length ${max_length}: a longer row makes a step by itself.`,
  ),
  error(
    "optimizer_in_backward",
    ({ optimizer_in_backward, max_grad_norm }) => optimizer_in_backward && max_grad_norm > 0,
    "clipping needs all gradients at once. Set max_grad_norm: 0, or leave optimizer_in_backward out.",
  ),
  error(
    "optimizer_in_backward",
    ({ optimizer_in_backward, gradient_accumulation_steps, tokens_per_step }) =>
      optimizer_in_backward && (gradient_accumulation_steps > 1 || tokens_per_step !== null),
    ({ train_batch_size: rows }) =>
      `a step of several micro-batches adds their gradients up. ${
        rows === null
          ? "Leave gradient_accumulation_steps at 1 and tokens_per_step out."
          : `Set per_device_train_batch_size to train_batch_size, ${rows}, or more.`
      }`,
  ),
  error(
    "optimizer_in_backward",
    ({ optimizer_in_backward, skip_step_sigma }) => optimizer_in_backward && skip_step_sigma !== null,
    "skip_step_sigma judges a step by its whole gradient, before any weight changes. Leave one of them out.",
  ),
  error(
    "optimizer_in_backward",
    ({ optimizer_in_backward, max_tokens_per_micro_batch }) =>
      optimizer_in_backward && max_tokens_per_micro_batch !== null,
    "max_tokens_per_micro_batch cuts a step into micro-batches, whose gradients add up. Leave it out.",
  ),
  error(
    "optim",
    ({ optim, shard }) => optim !== "adamw_torch_fused" && (shard === "node" || shard === "all"),
    ({ optim, shard }) =>
      `${optim} rounds averages by their place in a tensor, and with shard: ${shard} ranks hold parts of tensors, cut elsewhere. Set shard: none, where each rank has all of the model, or optim: adamw_torch_fused.`,
  ),
  error(
    "load_in_8bit",
    ({ load_in_4bit, load_in_8bit }) => load_in_4bit && load_in_8bit,
    "load_in_4bit is true as well: weights are held in one form. Take one of the two out.",
  ),
  ...(["load_in_4bit", "load_in_8bit"] as const).flatMap((key) => [
    error(
      key,
      (config) => config[key] && !config.use_peft,
      "weights in few bits are frozen, and full tuning changes all weights: an update is smaller than a step between two of their numbers. Set use_peft: true to train an adapter on them, or take it out.",
    ),
    error(
      key,
      (config) => config[key] && (config.shard === "node" || config.shard === "all"),
      ({ shard }) =>
        `with shard: ${shard} ranks hold parts of tensors, cut elsewhere than blocks of quantised numbers. Set shard: none, where each rank has all of the model.`,
    ),
  ]),
  ...(
    [
      ["activation_offloading", "activations are"],
      ["offload_embedding", "the embedding is"],
    ] as const
  ).map(([key, what]) =>
    error(
      key,
      (config) => config[key] && config.device === "cpu",
      `the model runs on the CPU, where ${what} in the computer's memory already. Leave it out.`,
    ),
  ),
  error(
    "offload_embedding",
    (config) => config.offload_embedding && (!config.use_peft || savesModule(config, "embed_tokens")),
    ({ use_peft }) =>
      `${use_peft ? "lora_modules_to_save trains the embedding" : "full tuning trains the embedding"}, which has to be on the device for that. Leave it out${use_peft ? "" : ", or set use_peft: true"}.`,
  ),
  error(
    "offload_embedding",
    (config) => config.offload_embedding && (config.shard === "node" || config.shard === "all"),
    ({ shard }) =>
      `with shard: ${shard} ranks hold parts of the embedding on their devices. Set shard: none, where each rank has all of the model.`,
  ),
  error(
    "batch_invariant",
    ({ batch_invariant, device }) => batch_invariant && device !== "cpu" && device !== "auto",
    ({ device }) =>
      `the model runs on ${device}, and products whose rows do not depend on each other are there for the CPU alone. Leave it out, or set device: cpu.`,
  ),
  error(
    "lora_modules_to_save",
    (config) => trainedTwice(config).length > 0,
    (config) => {
      const names = trainedTwice(config);
      const [are, each] = names.length > 1 ? ["are", "each"] : ["is", "it"];
      return `${names.join(", ")} ${are} in lora_target_modules too. Train ${each} in full or by LoRA, not both.`;
    },
  ),
  error(
    "output_dir",
    ({ output_dir, model_name_or_path }) => output_dir === model_name_or_path,
    "is model_name_or_path: a run is never written over its model. Give another.",
  ),
];
