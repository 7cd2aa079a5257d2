/** The metrics of studies, each a value for every held-out pair (or watched prompt) and seed, so that runs are compared pair by pair. */
import { at } from "../base/at.ts";
import { diversityOf } from "../evaluate/diversity/diversity.ts";
import { quantile } from "../stats/bootstrap.ts";
import type { Estimate } from "../stats/crossed-bootstrap.ts";
import { differenceInterval, type MeanOptions, meanInterval, type PairTable } from "./estimates.ts";
import { exportedSamples, type MeasuredCondition, type MeasuredRun, twinsOf } from "./measured.ts";
import { onSharedPairs, promptsOf } from "./shared-pairs.ts";
import type { HeldOutPair } from "./trial.ts";

/** How a metric is written: nats per token, nats, a fraction of pairs or completions, tokens, or a reward's own unit. */
export type MetricUnit = "nats/token" | "nats" | "share" | "tokens" | "reward";

/** A metric of one run, by pair. */
export interface TrialMetric {
  /** Heading of a column. */
  title: string;
  unit: MetricUnit;
  /** Which way is better, where one is. */
  better: "more" | "less" | null;
  /** What it is taken from: held-out pairs, answers that the watch samples, or an on-policy run's completions. Left out: pairs. */
  source?: "pairs" | "answers" | "rollouts";
  /** A figure of the run, the same for each of its pairs: its interval is over seeds alone, two or more. */
  isOfRun?: boolean;
  /** A value for each held-out pair or watched prompt. */
  perPair(run: MeasuredRun): Float64Array;
  /** How much each of these counts in a mean; left out: all alike. */
  counts?(run: MeasuredRun): Float64Array;
}

type Means = { chosen: number; rejected: number };

function ofPairs(value: (before: Means, after: Means) => number): TrialMetric["perPair"] {
  return ({ before, after }) =>
    Float64Array.from(after, (pair, i) => value(meansOf(at(before, i)), meansOf(pair)));
}

/** 1 or 0; NaN where one of them is no number. */
function isBelow(now: number, then: number): number {
  return Number.isNaN(now - then) ? Number.NaN : Number(now < then);
}

/** How much the log-prob of each chosen token changed, by pair, nats. */
export function chosenChanges({ before, after }: Pick<MeasuredRun, "before" | "after">): number[][] {
  return after.map(({ chosen }, i) => {
    const start = at(before, i).chosen;
    return chosen.map((logp, t) => logp - at(start, t));
  });
}

/** Metrics of how the log-probs of a pair's chosen tokens changed. */
function ofChosenTokens(value: (changes: readonly number[]) => number): TrialMetric["perPair"] {
  return (run) => Float64Array.from(chosenChanges(run), value);
}

/** A figure of a run, the same for each of its pairs. */
function ofRun(value: (run: MeasuredRun) => number): Pick<TrialMetric, "isOfRun" | "perPair"> {
  return { isOfRun: true, perPair: (run) => new Float64Array(run.after.length).fill(value(run)) };
}

/** The 1 % quantile of the changes of all chosen tokens, those that are no finite numbers left out. */
function tailOf(run: MeasuredRun): number {
  const changes = chosenChanges(run).flat();
  return quantile(Float64Array.from(changes.filter(Number.isFinite)).sort(), 0.01);
}

/** Metrics of the completions that the run's watch sampled of what the run exported. */
function ofSamples(
  metric: "distinct_2" | "repetition" | "ended_properly" | "malformed" | "self_bleu",
): TrialMetric["perPair"] {
  return (run) => {
    const { perPrompt } = diversityOf(exportedSamples(run), "words");
    const scale = metric === "self_bleu" ? 0.01 : 1;
    return Float64Array.from(perPrompt, (prompt) => scale * prompt.metrics[metric]);
  };
}

/** Metrics of what an on-policy run exported, over completions of held-out prompts; no prompts in other runs. */
function ofRollouts(
  metric: "reward" | "gold" | "kl_init" | "entropy" | "distinct" | "length",
): TrialMetric["perPair"] {
  return ({ exported }) => Float64Array.from(exported?.prompts?.[metric] ?? []);
}

/** Name of a metric. */
export type TrialMetricName =
  | "accuracy"
  | "chosen_change"
  | "rejected_change"
  | "margin_change"
  | "margin"
  | "chosen_down"
  | "drift"
  | "tail"
  | "worst_token"
  | "other_text"
  | "both_down"
  | "preference_loss"
  | "distinct_2"
  | "self_bleu"
  | "repetition"
  | "ended_properly"
  | "malformed"
  | "reward"
  | "gold"
  | "kl_init"
  | "entropy"
  | "distinct"
  | "length";

/** The columns of a table about runs over pairs: what was won, and what it cost. */
export const PAIR_METRICS: readonly TrialMetricName[] = [
  "chosen_change",
  "margin_change",
  "accuracy",
  "chosen_down",
  "drift",
  "tail",
  "worst_token",
  "other_text",
];

/** All metrics by name. */
export const TRIAL_METRICS: Readonly<Record<TrialMetricName, TrialMetric>> = {
  accuracy: {
    title: "held-out accuracy",
    unit: "share",
    better: "more",
    // as `logps/accuracies`: a tie is half, a pair with a NaN wrong
    perPair: ofPairs((_, now) => (now.chosen === now.rejected ? 0.5 : Number(now.chosen > now.rejected))),
  },
  chosen_change: {
    title: "change of chosen",
    unit: "nats/token",
    better: "more",
    perPair: ofPairs((then, now) => now.chosen - then.chosen),
  },
  rejected_change: {
    title: "change of rejected",
    unit: "nats/token",
    better: null,
    perPair: ofPairs((then, now) => now.rejected - then.rejected),
  },
  margin_change: {
    title: "change of the margin",
    unit: "nats/token",
    better: "more",
    perPair: ofPairs((then, now) => now.chosen - now.rejected - (then.chosen - then.rejected)),
  },
  margin: {
    title: "margin at the end",
    unit: "nats/token",
    better: "more",
    perPair: ofPairs((_, now) => now.chosen - now.rejected),
  },
  chosen_down: {
    title: "chosen below its start",
    unit: "share",
    better: "less",
    perPair: ofPairs((then, now) => isBelow(now.chosen, then.chosen)),
  },
  // pairs count by their tokens: the mean over all tokens, as `eval_displacement/token_change_mean_abs`
  drift: {
    title: "drift",
    unit: "nats",
    better: "less",
    perPair: ofChosenTokens((changes) => mean(changes.map(Math.abs))),
    counts: ({ after }) => Float64Array.from(after, ({ chosen }) => chosen.length),
  },
  tail: {
    title: "tail",
    unit: "nats",
    better: "more",
    ...ofRun(tailOf),
  },
  worst_token: {
    title: "worst chosen token of a pair",
    unit: "nats",
    better: "more",
    perPair: ofChosenTokens((changes) => Math.min(...changes)),
  },
  other_text: {
    title: "change of other text",
    unit: "nats/token",
    better: "more",
    ...ofRun(({ otherText }) => otherText),
  },
  both_down: {
    title: "both below their start",
    unit: "share",
    better: "less",
    perPair: ofPairs((then, now) => isBelow(now.chosen, then.chosen) * isBelow(now.rejected, then.rejected)),
  },
  preference_loss: {
    title: "−log σ(Δ)",
    unit: "nats",
    better: "less",
    perPair: ofPairs((_, now) => Math.log1p(Math.exp(now.rejected - now.chosen))),
  },
  distinct_2: {
    title: "distinct-2 of answers",
    unit: "share",
    better: "more",
    source: "answers",
    perPair: ofSamples("distinct_2"),
  },
  self_bleu: {
    title: "self-BLEU of answers",
    unit: "share",
    better: "less",
    source: "answers",
    perPair: ofSamples("self_bleu"),
  },
  repetition: {
    title: "repeated runs of four",
    unit: "share",
    better: "less",
    source: "answers",
    perPair: ofSamples("repetition"),
  },
  ended_properly: {
    title: "ended properly",
    unit: "share",
    better: "more",
    source: "answers",
    perPair: ofSamples("ended_properly"),
  },
  malformed: {
    title: "malformed Markdown",
    unit: "share",
    better: "less",
    source: "answers",
    perPair: ofSamples("malformed"),
  },
  reward: {
    title: "reward",
    unit: "reward",
    better: "more",
    source: "rollouts",
    perPair: ofRollouts("reward"),
  },
  gold: {
    title: "gold reward",
    unit: "reward",
    better: "more",
    source: "rollouts",
    perPair: ofRollouts("gold"),
  },
  kl_init: {
    title: "KL to the start",
    unit: "nats",
    better: "less",
    source: "rollouts",
    perPair: ofRollouts("kl_init"),
  },
  entropy: {
    title: "entropy",
    unit: "nats",
    better: null,
    source: "rollouts",
    perPair: ofRollouts("entropy"),
  },
  distinct: {
    title: "distinct completions",
    unit: "share",
    better: null,
    source: "rollouts",
    perPair: ofRollouts("distinct"),
  },
  length: {
    title: "length",
    unit: "tokens",
    better: null,
    source: "rollouts",
    perPair: ofRollouts("length"),
  },
};

/** Fraction of pairs that "the longer answer is the better one" gets right; equal lengths count one half. */
export function lengthAccuracy(run: MeasuredRun): Estimate {
  const right = Float64Array.from(run.after, ({ chosen, rejected }) =>
    chosen.length === rejected.length ? 0.5 : Number(chosen.length > rejected.length),
  );
  return meanInterval([right], { prompts: promptsOf([run]) });
}

const rows: WeakMap<MeasuredRun, Map<TrialMetricName, Float64Array>> = new WeakMap();
const estimates: WeakMap<MeasuredCondition, Map<TrialMetricName, Estimate>> = new WeakMap();
/** By metric and the other condition. */
const differences: WeakMap<MeasuredCondition, Map<string, Estimate>> = new WeakMap();

/** The metric by seed and pair. */
export function tableOf(runs: readonly MeasuredRun[], name: TrialMetricName): PairTable {
  return runs.map((run) => kept(rows, run, name, () => TRIAL_METRICS[name].perPair(run)));
}

/** What `compute` gives, remembered: tables and charts ask for the same metrics many times. */
function kept<K extends object, N extends string, V>(
  memory: WeakMap<K, Map<N, V>>,
  key: K,
  name: N,
  compute: () => V,
): V {
  const known = memory.get(key) ?? new Map<N, V>();
  memory.set(key, known);
  const value = known.get(name) ?? compute();
  known.set(name, value);
  return value;
}

/** The metric of a condition. */
export function estimate(condition: MeasuredCondition, name: TrialMetricName): Estimate {
  const { runs } = condition;
  return kept(estimates, condition, name, () =>
    meanInterval(tableOf(runs, name), {
      ...optionsOf(runs, name),
      isShare: TRIAL_METRICS[name].unit === "share",
    }),
  );
}

/** How the interval of a metric is made: runs are measured on the same pairs. */
function optionsOf(runs: readonly MeasuredRun[], name: TrialMetricName): MeanOptions {
  const { isOfRun = false, source = "pairs" } = TRIAL_METRICS[name];
  return { isOfRun, counts: countsOf(runs, name), prompts: source === "pairs" ? promptsOf(runs) : undefined };
}

/** How much each pair counts. */
function countsOf([run]: readonly MeasuredRun[], name: TrialMetricName): Float64Array | undefined {
  return run === undefined ? undefined : TRIAL_METRICS[name].counts?.(run);
}

/** The metric of one run; what is no number is left out. */
export function meanOfRun(run: MeasuredRun, name: TrialMetricName): number {
  const counts = countsOf([run], name);
  let [sum, weight] = [0, 0];
  for (const [i, value] of (tableOf([run], name)[0] ?? []).entries()) {
    if (Number.isNaN(value)) continue;
    const count = counts?.[i] ?? 1;
    sum += count * value;
    weight += count;
  }
  return sum / weight;
}

/** How much the metric is above that of `base`, over the seeds and the pairs that both have. */
export function estimateDifference(
  condition: MeasuredCondition,
  base: MeasuredCondition,
  name: TrialMetricName,
): Estimate {
  // the table of results and the report ask for the same differences
  return kept(differences, condition, `${name} − ${base.name}`, () => {
    const twins = twinsOf({ condition, base });
    const runs = onSharedPairs([...twins.map(({ run }) => run), ...twins.map(({ twin }) => twin)]);
    const [own, others] = [runs.slice(0, twins.length), runs.slice(twins.length)];
    return differenceInterval(tableOf(own, name), tableOf(others, name), optionsOf(runs, name));
  });
}

function meansOf({ chosen, rejected }: HeldOutPair): Means {
  return { chosen: mean(chosen), rejected: mean(rejected) };
}

function mean(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length;
}
