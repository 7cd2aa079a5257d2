/** Checks across keys of a configuration in which every value is filled in. */
import { didYouMean } from "../base/suggest.ts";
import { isGreedyAt } from "../base/temperature.ts";
import { methodOf } from "../methods/index.ts";
import { METRICS, metricInfo } from "./metric-names.ts";
import type { ConfigKey, RunConfig } from "./run-config.ts";

/** What a check found; `key` is where it is reported. */
export interface Finding {
  key: ConfigKey;
  severity: "error" | "warning";
  text: string;
}

/** Everything wrong or doubtful in `config`. */
export function checkConfig(config: RunConfig): Finding[] {
  return [
    ...checkMethod(config),
    ...checkSchedule(config),
    ...checkEvaluation(config),
    ...checkBestModel(config),
    ...checkWatch(config),
    ...checkBatches(config),
    ...checkAdapter(config),
    ...checkPlaces(config),
  ];
}

/** What is wrong or doubtful in the settings of the method, by themselves and with what its reference needs. */
export function checkMethod({ method, precompute_ref_log_probs, use_peft }: RunConfig): Finding[] {
  const { checks = [], needsReference } = methodOf(method.objective);
  const settings = { ...method };
  const found = checks
    .filter(({ when }) => when(settings))
    .map(({ key, severity, text }): Finding => ({ key: key as ConfigKey, severity, text: text(settings) }));
  if (needsReference && !precompute_ref_log_probs && !use_peft) {
    found.push(
      error(
        "precompute_ref_log_probs",
        "false needs use_peft: in full tuning there is no adapter to switch off. Leave it true.",
      ),
    );
  }
  return found;
}

function checkSchedule(config: RunConfig): Finding[] {
  const found: Finding[] = [];
  if (config.warmup_ratio > 0 && config.warmup_steps > 0) {
    found.push(
      error(
        "warmup_steps",
        `warmup_ratio ${config.warmup_ratio} and warmup_steps ${config.warmup_steps} are both set. Keep one of them.`,
      ),
    );
  }
  if (config.max_steps === 0) {
    found.push(error("max_steps", "expected -1 (train by epochs) or at least 1, got 0."));
  }
  if (config.max_steps > 0 && config.warmup_steps >= config.max_steps) {
    found.push(
      warning(
        "warmup_steps",
        `${config.warmup_steps} of ${config.max_steps} steps: training is all warm-up.`,
      ),
    );
  }
  return found;
}

function checkEvaluation(config: RunConfig): Finding[] {
  const found: Finding[] = [];
  const hasRows = config.eval_data !== null || config.eval_fraction > 0;
  const fix = "Give eval_data or eval_fraction.";
  if (config.eval_data !== null && config.eval_fraction > 0) {
    found.push(error("eval_fraction", "eval_data is given too. Keep one of them."));
  }
  if (!hasRows && config.eval_strategy !== "no") {
    found.push(error("eval_strategy", `${config.eval_strategy} without held-out rows. ${fix}`));
  }
  if (!hasRows && config.eval_on_start)
    found.push(error("eval_on_start", `there are no held-out rows. ${fix}`));
  return found;
}

function checkBestModel(config: RunConfig): Finding[] {
  const found: Finding[] = [];
  const { load_best_model_at_end: best, early_stopping_patience: patience } = config;
  if (config.eval_strategy === "no") {
    if (best)
      found.push(error("load_best_model_at_end", "needs evaluation during training: set eval_strategy."));
    if (patience !== null) {
      found.push(error("early_stopping_patience", "needs evaluation during training: set eval_strategy."));
    }
    return found;
  }
  if (best) found.push(...checkAlignment(config));
  if ((best || patience !== null) && metricInfo(config.metric_for_best_model) === null) {
    const known = METRICS.map((metric) => `eval_${metric.key}`);
    found.push(
      warning(
        "metric_for_best_model",
        `"${config.metric_for_best_model}" is not a metric of preftune's own.${didYouMean(config.metric_for_best_model, known)}`,
      ),
    );
  }
  return found;
}

function checkWatch(config: RunConfig): Finding[] {
  if (config.watch_prompts === null) return [];
  const found: Finding[] = [];
  if (config.eval_strategy === "no") {
    found.push(
      error("watch_prompts", "needs evaluation during training: set eval_strategy, with held-out rows."),
    );
  }
  if (!config.eval_on_start) {
    found.push(
      warning(
        "watch_prompts",
        "eval_on_start is false: the first evaluation, of a model already trained, counts as the start.",
      ),
    );
  }
  if (isGreedyAt(config.watch_temperature) && config.watch_samples > 1) {
    found.push(
      error(
        "watch_samples",
        `${config.watch_samples} answers at temperature ${config.watch_temperature} are all the same. Set it to 1.`,
      ),
    );
  }
  return found;
}

function checkAlignment(config: RunConfig): Finding[] {
  const { eval_strategy, save_strategy, eval_steps, save_steps } = config;
  if (eval_strategy !== save_strategy) {
    return [
      error(
        "load_best_model_at_end",
        `needs a checkpoint at evaluations, but eval_strategy is ${eval_strategy} and save_strategy is ${save_strategy}. Make them the same.`,
      ),
    ];
  }
  if (eval_strategy === "steps" && eval_steps !== null && save_steps % eval_steps !== 0) {
    return [
      error(
        "load_best_model_at_end",
        `needs an evaluation at every checkpoint, but save_steps ${save_steps} is not a multiple of eval_steps ${eval_steps}.`,
      ),
    ];
  }
  return [];
}

function checkBatches(config: RunConfig): Finding[] {
  const { tokens_per_step: step, max_tokens_per_micro_batch: micro, max_length } = config;
  const found: Finding[] = [];
  if (step !== null && micro !== null && micro > step) {
    found.push(
      warning("max_tokens_per_micro_batch", `${micro} is above tokens_per_step ${step} and has no effect.`),
    );
  }
  if (step !== null && step < max_length) {
    found.push(
      warning(
        "tokens_per_step",
        `${step} is below max_length ${max_length}: a longer row makes a step by itself.`,
      ),
    );
  }
  return [...found, ...checkOptimizerInBackward(config)];
}

function checkOptimizerInBackward(config: RunConfig): Finding[] {
  if (!config.optimizer_in_backward) return [];
  const found: Finding[] = [];
  const refuse = (text: string) => found.push(error("optimizer_in_backward", text));
  if (config.max_grad_norm > 0) {
    refuse("clipping needs all gradients at once. Set max_grad_norm: 0, or leave optimizer_in_backward out.");
  }
  if (config.gradient_accumulation_steps > 1 || config.tokens_per_step !== null) {
    refuse(
      "a step of several micro-batches adds their gradients up. Leave gradient_accumulation_steps at 1 and tokens_per_step out.",
    );
  }
  if (config.skip_step_sigma !== null) {
    refuse(
      "skip_step_sigma judges a step by its whole gradient, before any weight changes. Leave one of them out.",
    );
  }
  if (config.max_tokens_per_micro_batch !== null) {
    refuse(
      "max_tokens_per_micro_batch cuts a step into micro-batches, whose gradients add up. Leave it out.",
    );
  }
  return found;
}

function checkAdapter(config: RunConfig): Finding[] {
  if (!config.use_peft || config.lora_target_modules === "all-linear") return [];
  const targets = new Set(config.lora_target_modules);
  return config.lora_modules_to_save
    .filter((name) => targets.has(name))
    .map((name) =>
      error(
        "lora_modules_to_save",
        `${name} is in lora_target_modules too. Train it in full or by LoRA, not both.`,
      ),
    );
}

function checkPlaces(config: RunConfig): Finding[] {
  if (config.output_dir !== config.model_name_or_path) return [];
  return [error("output_dir", "is model_name_or_path: a run is never written over its model. Give another.")];
}

function error(key: ConfigKey, text: string): Finding {
  return { key, severity: "error", text };
}

function warning(key: ConfigKey, text: string): Finding {
  return { key, severity: "warning", text };
}
