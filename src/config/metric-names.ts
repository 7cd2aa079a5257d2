/**
 * Every metric a run logs: key, unit, definition, and the rows that have it (a table). Documentation and report are made
 * from it, and a test compares it with real runs. Evaluation rows carry the keys with `eval_` in front, but for
 * `global_step` and `epoch`. TRL's names stand where TRL has the quantity.
 */
import { type MethodName, methodNames, methodOf, methodsWhere, pairMethods } from "../methods/index.ts";
import type { MethodMetric } from "../methods/method.ts";
import { PAIRING_METRICS } from "../methods/pairing/settings.ts";

/** A metric. */
export interface MetricInfo extends MethodMetric {
  /** Which rows have it; absent: training and evaluation. */
  rows?: "training" | "evaluation";
  /** The objectives whose runs have it; absent: all. */
  objectives?: readonly MethodName[];
}

/** The keys that evaluation rows have without `eval_`. */
export const ROW_KEYS: readonly string[] = ["global_step", "epoch"];

const PAIRS: Pick<MetricInfo, "objectives"> = { objectives: methodsWhere(({ over }) => over === "pairs") };
/** Of methods whose model gives log-probs. */
const LOGPS: Pick<MetricInfo, "objectives"> = { objectives: methodsWhere(({ over }) => over !== "scores") };
const rewards: string = pairMethods.map((name) => `${name}: ${methodOf(name).reward}.`).join(" ");
const TRAINING: Pick<MetricInfo, "rows"> = { rows: "training" };
const EVALUATION: Pick<MetricInfo, "rows"> = { rows: "evaluation" };

/** The metrics, in the order of the documentation. */
export const METRICS: readonly MetricInfo[] = [
  metric("global_step", "steps", "Optimiser steps done. Every row has it."),
  metric("epoch", "epochs", "Passes over the training rows so far, as a fraction."),
  metric("loss", "nats", "Value of the objective, its normalisers taken over the whole step.", "lower"),
  metric("learning_rate", "", "Learning rate of the last step of the window.", null, TRAINING),
  metric("grad_norm", "", "Norm of the gradient of all trained weights, before clipping.", null, TRAINING),
  metric(
    "num_tokens",
    "tokens",
    "Input tokens since the start; a shared prompt counts once.",
    null,
    TRAINING,
  ),
  metric("tokens_per_second", "tokens/s", "Input tokens per second of training.", "higher", TRAINING),
  metric("step_time", "s", "Mean time of a step, without evaluation and checkpoints.", null, TRAINING),
  metric(
    "peak_memory_bytes",
    "bytes",
    "Greatest memory so far, of the process or, on a GPU, of torch's allocator.",
    null,
    TRAINING,
  ),
  metric(
    "skipped_steps",
    "steps",
    "Steps skipped since the start because loss or gradient was not finite, or a spike (`skip_step_sigma`).",
    "lower",
    TRAINING,
  ),
  metric("runtime", "s", "Time of the evaluation.", null, EVALUATION),
  metric("rewards/chosen", "nats", `Mean reward of the chosen answers. ${rewards}`, "higher", PAIRS),
  metric("rewards/rejected", "nats", "The same of the rejected answers.", null, PAIRS),
  metric("rewards/margins", "nats", "Mean of chosen reward − rejected reward.", "higher", PAIRS),
  metric(
    "rewards/accuracies",
    "share",
    "Fraction of pairs whose chosen reward is strictly the greater.",
    "higher",
    PAIRS,
  ),
  metric(
    "logps/chosen",
    "nats",
    "Mean over answers of the chosen answer's log-probability, summed over tokens. sft: of the answer.",
    "higher",
    LOGPS,
  ),
  metric("logps/rejected", "nats", "The same of the rejected answers.", null, PAIRS),
  metric(
    "logps/chosen_mean",
    "nats/token",
    "Mean over answers of the chosen answer's log-probability per token. sft: of the answer.",
    "higher",
    LOGPS,
  ),
  metric("logps/rejected_mean", "nats/token", "The same of the rejected answers.", null, PAIRS),
  metric(
    "logps/chosen_delta_init",
    "nats/token",
    "Change of logps/chosen_mean since the run's first evaluation, on the same rows. Below 0: chosen answers became less likely.",
    "higher",
    { ...EVALUATION, ...LOGPS },
  ),
  metric("logps/rejected_delta_init", "nats/token", "The same of the rejected answers.", null, {
    ...EVALUATION,
    ...PAIRS,
  }),
  metric(
    "displacement/frac_chosen_down",
    "share",
    "Fraction of rows whose chosen answer is less likely per token than in the run's first evaluation.",
    "lower",
    { ...EVALUATION, ...LOGPS },
  ),
  metric(
    "displacement/frac_both_down",
    "share",
    "Fraction of pairs of which both answers are less likely than in the first evaluation.",
    "lower",
    { ...EVALUATION, ...PAIRS },
  ),
  metric(
    "displacement/frac_both_up",
    "share",
    "Fraction of pairs of which both answers are more likely than in the first evaluation.",
    null,
    { ...EVALUATION, ...PAIRS },
  ),
  sampled(
    "self_bleu",
    "0–100",
    "Mean over prompts of the BLEU of each answer against the other answers to its prompt. 100: all the same. Left out with one answer a prompt.",
    "lower",
  ),
  sampled("self_bleu_across", "0–100", "The same between the answers to different prompts.", "lower"),
  sampled(
    "distinct_1",
    "share",
    "Different tokens divided by all, over all sampled answers together.",
    "higher",
  ),
  sampled("distinct_2", "share", "The same of pairs of neighbours.", "higher"),
  sampled("distinct_3", "share", "The same of runs of three tokens.", "higher"),
  sampled(
    "repetition",
    "share",
    "Fraction of runs of four tokens that came before in the same answer.",
    "lower",
  ),
  sampled("ended_properly", "share", "Fraction of answers that ended before watch_max_new_tokens.", "higher"),
  sampled("length", "tokens", "Mean length of a sampled answer.", null),
  sampled(
    "entropy",
    "nats/token",
    "Mean entropy of the next-token distribution at the tokens of sampled answers.",
    null,
  ),
  sampled(
    "vocabulary_entropy",
    "nats",
    "Entropy of the frequencies of tokens over all sampled answers together.",
    null,
  ),
  sampled(
    "malformed",
    "share",
    "Fraction of sampled answers with a fault of Markdown; see docs/collapse.md.",
    "lower",
  ),
  sampled("formatted", "share", "Fraction of sampled answers with any Markdown.", null),
  metric("entropy", "nats/token", "Mean entropy of the next-token distribution at answer tokens.", null, {
    needs: "log_entropy in training rows; evaluation rows always have it",
    ...LOGPS,
  }),
  metric(
    "mean_token_accuracy",
    "share",
    "Fraction of chosen answer tokens that are the model's first choice. sft: of answer tokens.",
    "higher",
    LOGPS,
  ),
  ...metricsOfMethods(),
  metric("lengths/chosen", "tokens", "Mean length of the chosen answers. sft: of the answers.", null, LOGPS),
  metric("lengths/rejected", "tokens", "Mean length of the rejected answers.", null, PAIRS),
  metric(
    "data/frac_truncated",
    "share",
    "Fraction of training rows that were cut to max_length.",
    "lower",
    TRAINING,
  ),
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

/** What the methods log themselves, by the alphabet; a metric that several have once. */
function metricsOfMethods(): MetricInfo[] {
  const found = new Map<string, MetricInfo & { objectives: MethodName[] }>();
  for (const name of [...methodNames].sort()) {
    const { metrics, onPolicy } = methodOf(name);
    for (const info of [...metrics, ...(onPolicy === "also" ? PAIRING_METRICS : [])]) {
      const known = found.get(info.key);
      if (known === undefined) found.set(info.key, { ...info, objectives: [name] });
      else known.objectives.push(name);
    }
  }
  return [...found.values()];
}

/** A figure of the answers that the collapse watch samples. */
function sampled(key: string, unit: string, definition: string, better: MetricInfo["better"]): MetricInfo {
  const limits = { ...EVALUATION, ...LOGPS, needs: "watch_prompts" };
  return metric(`samples/${key}`, unit, definition, better, limits);
}

/** The rest is the direction that is better and which rows have the metric. */
function metric(
  key: string,
  unit: string,
  definition: string,
  ...rest: [better?: MetricInfo["better"], limits?: Pick<MetricInfo, "rows" | "objectives" | "needs">]
): MetricInfo {
  const [better = null, limits = {}] = rest;
  return { key, unit, definition, better, ...limits };
}
