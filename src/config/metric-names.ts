/**
 * Every metric a run logs: key, unit, definition, and the rows that have it (a table). Documentation and report are made
 * from it, and a test compares it with real runs. Evaluation rows carry the keys with `eval_` in front, but for
 * `global_step` and `epoch`. TRL's names stand where TRL has the quantity.
 */
import { type MethodName, methodNames, methodOf, methodsWhere } from "../methods/index.ts";
import type { MethodMetric, Over } from "../methods/method.ts";

/** A metric. */
export interface MetricInfo extends MethodMetric {
  /** Which rows have it; absent: training and evaluation. */
  rows?: "training" | "evaluation";
  /** The objectives whose runs have it; absent: all. */
  objectives?: readonly MethodName[];
  /** It comes from the pass through the objective, which evaluations of on-policy runs do without. */
  ofObjective?: boolean;
}

/** The keys that evaluation rows have without `eval_`. */
export const ROW_KEYS: readonly string[] = ["global_step", "epoch"];

const PAIRS: Pick<MetricInfo, "objectives" | "ofObjective"> = over("pairs");
/** Of methods that tell good completions from bad ones. */
const JUDGED: Pick<MetricInfo, "objectives" | "ofObjective"> = over("pairs", "labelled");
/** Of methods over rows' own completions. */
const ROWS: Pick<MetricInfo, "objectives" | "ofObjective"> = over("pairs", "labelled", "completions");
/** Of methods whose model gives log-probs. */
const LOGPS: Pick<MetricInfo, "objectives"> = { objectives: methodsWhere(({ over }) => over !== "scores") };
const rewarded: MethodName[] = methodsWhere(({ reward }) => reward !== undefined).sort();
const rewards: string = rewarded.map((name) => `${name}: ${methodOf(name).reward}.`).join(" ");
const TRAINING: Pick<MetricInfo, "rows"> = { rows: "training" };
const EVALUATION: Pick<MetricInfo, "rows"> = { rows: "evaluation" };

/** What on-policy runs log whatever their objective is: key, unit, definition, which direction is better, its limits. */
const ON_POLICY: readonly MetricInfo[] = (
  [
    [
      "rewards/NAME/mean",
      "",
      "Mean reward of the function called NAME, before weights, over the completions that it could score. Of each of reward_funcs; in evaluations of eval_reward_funcs too.",
      "higher",
    ],
    ["rewards/NAME/std", "", "Standard deviation of the same rewards."],
    ["rewards/NAME/unscored", "completions", "How many it gave null, NaN or infinity.", "lower"],
    [
      "rewards/NAME/failures",
      "completions",
      "How many it could not score because it threw or took longer than reward_timeout.",
      "lower",
    ],
    [
      "rewards/NAME/seconds",
      "s",
      "Time of the function in its processes, of the last rollout.",
      "lower",
      TRAINING,
    ],
    [
      "gold",
      "",
      "Mean sum of eval_reward_funcs, which training does not see.",
      "higher",
      { ...EVALUATION, needs: "eval_reward_funcs" },
    ],
    [
      "kl_init",
      "nats",
      "Mean over completions of log π − log π_start, summed over tokens (k1): the KL to the model at the start.",
      "lower",
      EVALUATION,
    ],
    [
      "kl_init_per_token",
      "nats/token",
      "The same sum over all completions, divided by their tokens.",
      "lower",
      EVALUATION,
    ],
    [
      "completions/distinct",
      "share",
      "Mean over prompts of the fraction of completions that differ from each other.",
      "higher",
      EVALUATION,
    ],
    ["completions/mean_length", "tokens", "Mean length of the completions, end tokens counted."],
    ["completions/min_length", "tokens", "Length of the shortest."],
    ["completions/max_length", "tokens", "Length of the longest."],
    [
      "completions/mean_terminated_length",
      "tokens",
      "Mean length of those that ended by themselves; 0: none did.",
    ],
    ["completions/min_terminated_length", "tokens", "Length of the shortest of these."],
    ["completions/max_terminated_length", "tokens", "Length of the longest of these."],
    [
      "completions/clipped_ratio",
      "share",
      "Fraction of completions that were cut at max_completion_length.",
      "lower",
    ],
    [
      "sampling/sampling_logp_difference/mean",
      "nats",
      "Mean distance of a token's log-probs in sampling and in the first training pass; with max_staleness the weights differ too.",
      "lower",
      TRAINING,
    ],
    ["sampling/sampling_logp_difference/max", "nats", "The greatest of these.", "lower", TRAINING],
    [
      "sampling/importance_sampling_ratio/mean",
      "",
      "Mean of the weights that correct for completions of an older policy, after importance_sampling_mode: of tokens, or of completions with a sequence mode.",
      null,
      { ...TRAINING, needs: "max_staleness above 0" },
    ],
    [
      "sampling/importance_sampling_ratio/min",
      "",
      "The least of these.",
      null,
      { ...TRAINING, needs: "max_staleness above 0" },
    ],
    [
      "sampling/importance_sampling_ratio/max",
      "",
      "The greatest of these.",
      null,
      { ...TRAINING, needs: "max_staleness above 0" },
    ],
    [
      "sampling/importance_sampling_ratio/frac_bounded",
      "share",
      "Fraction of these that were truncated or masked.",
      "lower",
      { ...TRAINING, needs: "max_staleness above 0" },
    ],
    [
      "sampling/frac_redrawn",
      "share",
      "Fraction of groups whose completions were sampled again because all rewards were equal.",
      null,
      { ...TRAINING, needs: "dynamic_sampling above 0" },
    ],
    [
      "speed/sampling_tokens_per_second",
      "tokens/s",
      "Completion tokens sampled a second, in the last rollout.",
      "higher",
      TRAINING,
    ],
    [
      "speed/scoring_completions_per_second",
      "completions/s",
      "Completions scored a second.",
      "higher",
      TRAINING,
    ],
    [
      "speed/training_tokens_per_second",
      "tokens/s",
      "Input tokens a second in the last optimiser step alone.",
      "higher",
      TRAINING,
    ],
  ] satisfies Parameters<typeof metric>[]
).map((row) => ({ ...metric(...(row as Parameters<typeof metric>)), onPolicy: true }));

/** The metrics, in the order of the documentation. */
export const METRICS: readonly MetricInfo[] = [
  metric("global_step", "steps", "Optimiser steps done. Every row has it."),
  metric("epoch", "epochs", "Passes over the training rows so far, as a fraction."),
  metric(
    "loss",
    "nats",
    "Value of the objective, its normalisers taken over the whole step. grpo, rloo: near 0 at the first update of a rollout whatever is learned, as advantages have mean 0.",
    "lower",
    { ofObjective: true },
  ),
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
    "speed/waiting_fraction",
    "",
    "Fraction of the steps' time in which a rank waited for the others or for what they sent; mean of the ranks.",
    "lower",
    { ...TRAINING, needs: "several ranks" },
  ),
  metric("speed/slowest_rank", "", "The rank that waited least: the others waited for it.", null, {
    ...TRAINING,
    needs: "several ranks",
  }),
  metric("speed/sent_bytes", "bytes", "What a rank sends in a step, mean of the ranks.", null, {
    ...TRAINING,
    needs: "several ranks",
  }),
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
  metric("rewards/chosen", "nats", `Mean reward of the chosen answers. ${rewards}`, "higher", JUDGED),
  metric("rewards/rejected", "nats", "The same of the rejected answers.", null, JUDGED),
  metric("rewards/margins", "nats", "Mean chosen reward − mean rejected reward.", "higher", JUDGED),
  metric(
    "rewards/accuracies",
    "share",
    "Fraction of pairs whose chosen reward is strictly the greater, as in TRL: dpo starts at 0, where both rewards are 0.",
    "higher",
    PAIRS,
  ),
  metric(
    "logps/chosen",
    "nats",
    "Mean over answers of the chosen answer's log-probability, summed over tokens. sft: of the answer.",
    "higher",
    ROWS,
  ),
  metric("logps/rejected", "nats", "The same of the rejected answers.", null, JUDGED),
  metric(
    "logps/chosen_mean",
    "nats/token",
    "Mean over answers of the chosen answer's log-probability per token. sft: of the answer.",
    "higher",
    ROWS,
  ),
  metric("logps/rejected_mean", "nats/token", "The same of the rejected answers.", null, JUDGED),
  metric(
    "logps/chosen_delta_init",
    "nats/token",
    "Change of logps/chosen_mean since the run's first evaluation, on the same rows. Below 0: chosen answers became less likely.",
    "higher",
    { ...EVALUATION, ...LOGPS },
  ),
  metric("logps/rejected_delta_init", "nats/token", "The same of the rejected answers.", null, {
    ...EVALUATION,
    ...JUDGED,
  }),
  metric(
    "logps/accuracies",
    "share",
    "Fraction of pairs whose chosen answer has the higher log-probability per token, a tie counted as half: the same for every objective, so runs can be compared by it. rewards/accuracies is of the objective's own reward.",
    "higher",
    { ...EVALUATION, ...JUDGED },
  ),
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
    { ...EVALUATION, ...JUDGED },
  ),
  metric(
    "displacement/frac_both_up",
    "share",
    "Fraction of pairs of which both answers are more likely than in the first evaluation.",
    null,
    { ...EVALUATION, ...JUDGED },
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
  sampled("seconds", "s", "Time of sampling these answers, a part of eval_runtime.", null),
  sampled("formatted", "share", "Fraction of sampled answers with any Markdown.", null),
  metric("entropy", "nats/token", "Mean entropy of the next-token distribution at answer tokens.", null, {
    needs: "log_entropy, or grpo's entropy_coef, in training rows; evaluation rows always have it",
    ...LOGPS,
  }),
  metric(
    "mean_token_accuracy",
    "share",
    "Fraction of chosen answer tokens that are the model's first choice. sft: of answer tokens.",
    "higher",
    { ...LOGPS, ofObjective: true },
  ),
  ...metricsOfMethods(),
  metric("lengths/chosen", "tokens", "Mean length of the chosen answers. sft: of the answers.", null, ROWS),
  metric("lengths/rejected", "tokens", "Mean length of the rejected answers.", null, JUDGED),
  metric("data/frac_truncated", "share", "Fraction of training rows that were cut to max_length.", "lower", {
    ...TRAINING,
    onPolicy: false,
  }),
  ...ON_POLICY,
];

const BY_KEY: ReadonlyMap<string, MetricInfo> = new Map(METRICS.map((info) => [info.key, info]));

/** What is known about `key`, with or without `eval_`; null for a metric that is not in the table. */
export function metricInfo(key: string): MetricInfo | null {
  const name = key.startsWith("eval_") ? key.slice(5) : key;
  // of a reward function, whatever it is called
  return BY_KEY.get(name) ?? BY_KEY.get(name.replace(/^rewards\/.+\/(?=[a-z]+$)/, "rewards/NAME/")) ?? null;
}

/** Whether more of the metric is better: by the table, else true unless its name ends in "loss" (as in TRL). */
export function greaterIsBetter(key: string): boolean {
  const better = metricInfo(key)?.better ?? null;
  return better === null ? !key.endsWith("loss") : better === "higher";
}

/** What the methods log themselves, by the alphabet; a metric that several have once, and one of another meaning apart. */
function metricsOfMethods(): MetricInfo[] {
  const found = new Map<string, MetricInfo & { objectives: MethodName[] }>();
  for (const name of [...methodNames].sort()) {
    for (const info of methodOf(name).metrics) {
      const meaning = `${info.key}: ${info.definition}`;
      const known = found.get(meaning);
      const ofObjective = info.key !== "reward";
      if (known === undefined) found.set(meaning, { ...info, objectives: [name], ofObjective });
      else known.objectives.push(name);
    }
  }
  return [...found.values()];
}

function over(...kinds: Over[]): Pick<MetricInfo, "objectives" | "ofObjective"> {
  return { objectives: methodsWhere((method) => kinds.includes(method.over)), ofObjective: true };
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
  ...rest: [better?: MetricInfo["better"], limits?: Omit<Partial<MetricInfo>, "key">]
): MetricInfo {
  const [better = null, limits = {}] = rest;
  return { key, unit, definition, better, ...limits };
}
