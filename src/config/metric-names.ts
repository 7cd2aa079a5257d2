/**
 * Every metric a run logs: key, unit, definition, and the rows that have it (a table). Documentation and report are made
 * from it, and a test compares it with real runs. Evaluation rows carry the keys with `eval_` in front, but for
 * `global_step` and `epoch`. TRL's names stand where TRL has the quantity.
 */
import { at } from "../base/at.ts";
import { type MethodName, methodNames, methodOf, methodsWhere } from "../methods/index.ts";
import type { Over } from "../methods/method.ts";
import { EVALUATION, type MetricInfo, metric, TRAINING } from "./metric-info.ts";
import { ON_POLICY } from "./on-policy-metrics.ts";

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

/** The metrics, in the order of the documentation. */
export const METRICS: readonly MetricInfo[] = [
  metric("global_step", "steps", "Optimiser steps done. Every row has it."),
  metric(
    "epoch",
    "epochs",
    "Passes over the training rows so far: steps by those of an epoch (transformers counts micro-batches, which differs where the last step of an epoch is smaller).",
  ),
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
    "Fraction of the steps' time in which a rank waited for the others or for what they sent; mean of the ranks. Not with GPUs, which wait by themselves.",
    "lower",
    { ...TRAINING, needs: "several ranks" },
  ),
  metric(
    "speed/slowest_rank",
    "",
    "The rank that waited least: the others waited for it. Not with GPUs.",
    null,
    { ...TRAINING, needs: "several ranks" },
  ),
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
  metric(
    "displacement/token_change_mean_abs",
    "nats",
    "Drift: mean absolute change of a chosen answer's token log-prob since the run's first evaluation. docs/displacement.md says what is much.",
    "lower",
    { ...EVALUATION, ...LOGPS },
  ),
  metric(
    "displacement/token_change_p01",
    "nats",
    "Tail: the 1 % quantile of the changes of chosen answers' tokens; of 100 tokens one lost more.",
    "higher",
    { ...EVALUATION, ...LOGPS },
  ),
  metric(
    "displacement/token_change_not_finite",
    "tokens",
    "Tokens of chosen answers whose change is NaN or infinite. Drift and tail leave them out; bounds on either are exceeded where there is one.",
    "lower",
    { ...EVALUATION, ...LOGPS },
  ),
  metric(
    "displacement/rejected_token_change_mean_abs",
    "nats",
    "Drift of the rejected answers' tokens.",
    null,
    {
      ...EVALUATION,
      ...JUDGED,
    },
  ),
  metric("displacement/rejected_token_change_p01", "nats", "Tail of the rejected answers' tokens.", null, {
    ...EVALUATION,
    ...JUDGED,
  }),
  metric(
    "displacement/other_text_change",
    "nats/token",
    "Change of the mean log-prob of text that is neither chosen nor rejected: the answers of drift_data, or else some prompts of held-out rows.",
    "higher",
    { ...EVALUATION, ...LOGPS },
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

const BY_KEY: ReadonlyMap<string, MetricInfo> = new Map(
  [...Map.groupBy(METRICS, ({ key }) => key)].map(([key, meanings]) => [key, asOne(meanings)]),
);

/** What is known about `key`, with or without `eval_`; null for a metric that is not in the table. */
export function metricInfo(key: string): MetricInfo | null {
  const name = key.startsWith("eval_") ? key.slice(5) : key;
  // of a reward function, whatever it is called
  return BY_KEY.get(name) ?? BY_KEY.get(name.replace(/^rewards\/.+\/(?=[a-z_]+$)/, "rewards/NAME/")) ?? null;
}

/** The metrics that evaluations of a run can have, of those that its settings switch on too. */
export function evaluatedMetrics(objective: MethodName, isOnPolicy: boolean): readonly MetricInfo[] {
  return METRICS.filter(({ rows, objectives = [objective], onPolicy = isOnPolicy, ofObjective = false }) => {
    const isMeasured = onPolicy === isOnPolicy && !(isOnPolicy && ofObjective);
    return rows !== "training" && objectives.includes(objective) && isMeasured;
  });
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

/** What is known of a key that means something else in other methods. */
function asOne(meanings: readonly MetricInfo[]): MetricInfo {
  const first = at(meanings, 0);
  if (meanings.length === 1) return first;
  return {
    ...first,
    unit: [...new Set(meanings.map(({ unit }) => unit))].join(" or "),
    definition: meanings
      .map(({ objectives = [], definition }) => `${objectives.join(", ")}: ${definition}`)
      .join(" "),
  };
}

function over(...kinds: Over[]): Pick<MetricInfo, "objectives" | "ofObjective"> {
  return { objectives: methodsWhere((method) => kinds.includes(method.over)), ofObjective: true };
}

/** A figure of the answers that the collapse watch samples. */
function sampled(key: string, unit: string, definition: string, better: MetricInfo["better"]): MetricInfo {
  const limits = { ...EVALUATION, ...LOGPS, needs: "watch_prompts" };
  return metric(`samples/${key}`, unit, definition, better, limits);
}
