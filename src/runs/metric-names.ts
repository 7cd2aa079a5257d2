/**
 * Every metric a run logs: key, unit and definition (a table). Documentation and report are made from it.
 * Evaluation rows carry the same keys with `eval_` in front. TRL's names stand where TRL has the quantity.
 */

/** A metric. */
export interface MetricInfo {
  key: string;
  unit: string;
  definition: string;
  /** Which direction is better, where one is. */
  better: "lower" | "higher" | null;
  /** When it is logged, for metrics that not every run has. */
  only?: string;
}

/** The metrics, grouped as in the documentation. */
export const METRICS: readonly MetricInfo[] = [
  metric("global_step", "steps", "Optimiser steps done. Every row has it."),
  metric("epoch", "epochs", "Share of the training rows seen, counted in passes."),
  metric("loss", "nats", "Objective of the step (window mean over logging_steps).", "lower"),
  metric("learning_rate", "", "Learning rate of the step."),
  metric("grad_norm", "", "Norm of the gradient of all trained weights, before clipping."),
  metric("num_tokens", "tokens", "Tokens trained on since the start, prompts counted once."),
  metric("tokens_per_second", "tokens/s", "Tokens trained on per second of the window.", "higher"),
  metric("step_time", "s", "Mean time of an optimiser step of the window."),
  metric("peak_memory_bytes", "bytes", "Greatest memory of the process or, on a GPU, of torch's allocator."),
  metric(
    "skipped_steps",
    "steps",
    "Steps skipped since the start for a loss or gradient that was not finite.",
    "lower",
  ),
  metric(
    "rewards/chosen",
    "nats",
    "Mean reward of the chosen answers. dpo: beta × (log-probability − reference's), sums. simpo: beta × mean per token. slime: mean per token.",
    "higher",
  ),
  metric("rewards/rejected", "nats", "The same of the rejected answers."),
  metric("rewards/margins", "nats", "Mean of chosen reward − rejected reward.", "higher"),
  metric(
    "rewards/accuracies",
    "share",
    "Share of pairs whose chosen reward is strictly the greater.",
    "higher",
  ),
  metric(
    "logps/chosen",
    "nats",
    "Mean over pairs of the chosen answer's log-probability, summed over tokens.",
    "higher",
  ),
  metric("logps/rejected", "nats", "The same of the rejected answers."),
  metric(
    "logps/chosen_mean",
    "nats/token",
    "Mean over pairs of the chosen answer's log-probability per token.",
    "higher",
  ),
  metric("logps/rejected_mean", "nats/token", "The same of the rejected answers."),
  metric(
    "logps/chosen_delta_init",
    "nats/token",
    "Change of logps/chosen_mean since the start of training, on the same rows. Below 0: chosen answers became less likely.",
    "higher",
  ),
  metric("logps/rejected_delta_init", "nats/token", "The same of the rejected answers."),
  metric(
    "displacement/frac_chosen_down",
    "share",
    "Share of pairs whose chosen answer is less likely than at the start.",
    "lower",
    "evaluation",
  ),
  metric(
    "displacement/frac_both_down",
    "share",
    "Share of pairs of which both answers are less likely than at the start.",
    "lower",
    "evaluation",
  ),
  metric(
    "displacement/frac_both_up",
    "share",
    "Share of pairs of which both answers are more likely than at the start.",
    null,
    "evaluation",
  ),
  metric("logits/chosen", "", "Mean logit over the vocabulary at the chosen answer's tokens."),
  metric("logits/rejected", "", "The same of the rejected answers."),
  metric(
    "entropy",
    "nats/token",
    "Mean entropy of the next-token distribution at answer tokens.",
    null,
    "log_entropy",
  ),
  metric(
    "mean_token_accuracy",
    "share",
    "Share of chosen answer tokens that are the model's first choice.",
    "higher",
  ),
  metric("nll_loss", "nats/token", "Likelihood term on the chosen answer.", "lower", "simpo with cpo_alpha"),
  metric(
    "slime/anchor_loss",
    "nats",
    "Anchor term −lambda_w × mean log-probability of the chosen answer.",
    "lower",
    "slime",
  ),
  metric(
    "slime/rejected_penalty",
    "nats",
    "Stabiliser term on rejected tokens, lambda_l included.",
    "lower",
    "slime",
  ),
  metric("slime/margin_loss", "nats", "Margin term, lambda_d included.", "lower", "slime"),
  metric(
    "slime/margin_mean",
    "nats/token",
    "Mean margin: chosen − rejected log-probability per token.",
    "higher",
    "slime",
  ),
  metric(
    "slime/frac_hard_satisfied",
    "share",
    "Share of pairs with a margin of at least margin_hard.",
    "higher",
    "slime",
  ),
  metric(
    "slime/frac_soft_zone",
    "share",
    "Share of pairs with a margin between margin_soft and margin_hard.",
    null,
    "slime",
  ),
  metric(
    "slime/frac_rejected_tokens_penalised",
    "share",
    "Share of rejected tokens whose log-probability is below −delta.",
    null,
    "slime",
  ),
  metric("lengths/chosen", "tokens", "Mean length of the chosen answers."),
  metric("lengths/rejected", "tokens", "Mean length of the rejected answers."),
  metric("data/frac_truncated", "share", "Share of rows that were cut to max_length.", "lower"),
];

const BY_KEY: ReadonlyMap<string, MetricInfo> = new Map(METRICS.map((info) => [info.key, info]));

/** What is known about `key`, with or without `eval_`; null for a metric that is not in the table. */
export function metricInfo(key: string): MetricInfo | null {
  return BY_KEY.get(key.startsWith("eval_") ? key.slice(5) : key) ?? null;
}

/** Whether more of the metric is better: by the table, else true unless its name ends in "loss" (as in TRL). */
export function greaterIsBetter(key: string): boolean {
  const better = metricInfo(key)?.better ?? null;
  return better === null ? !key.endsWith("loss") : better === "higher";
}

function metric(
  key: string,
  unit: string,
  definition: string,
  ...rest: [better?: MetricInfo["better"], only?: string]
): MetricInfo {
  const [better = null, only] = rest;
  return only === undefined ? { key, unit, definition, better } : { key, unit, definition, better, only };
}
