/** Which curves a report shows, and how they are taken from rows of metrics. */
import { metricInfo } from "../config/metric-names.ts";
import type { MetricRow } from "../runs/metrics.ts";
import type { Chart, Series } from "./line-chart.ts";

/** A chart of a report: its title and the metrics on it. */
export interface ChartPlan {
  title: string;
  /** [metric, name in the legend] */
  lines: readonly (readonly [string, string])[];
  note?: string;
  /** Figures of sampled answers: there is one curve of each, not one of training and one of held-out rows. */
  isSampled?: true;
}

const CHOSEN_AND_REJECTED = (key: string): [string, string][] => [
  [`${key}/chosen`, "chosen"],
  [`${key}/rejected`, "rejected"],
];

/** Change of the likelihoods since the start: the view in which displacement shows. */
export const DISPLACEMENT_PLANS: readonly ChartPlan[] = [
  {
    title: "Log-likelihood since the start",
    lines: [
      ["logps/chosen_delta_init", "chosen"],
      ["logps/rejected_delta_init", "rejected"],
    ],
    note: "Above 0: more likely than before training.",
  },
  { title: "Margin", lines: [["rewards/margins", "chosen − rejected"]] },
  {
    title: "How the pairs moved",
    lines: [
      ["displacement/frac_chosen_down", "chosen down"],
      ["displacement/frac_both_down", "both down"],
      ["displacement/frac_both_up", "both up"],
    ],
  },
  { title: "Accuracy", lines: [["rewards/accuracies", "chosen above rejected"]] },
];

const SAMPLES: readonly ChartPlan[] = [
  {
    title: "Health of sampled answers",
    lines: [
      ["samples/ended_properly", "ended properly"],
      ["samples/malformed", "malformed Markdown"],
      ["samples/repetition", "repeated runs of four tokens"],
    ],
  },
  {
    title: "Distinct n-grams",
    lines: [
      ["samples/distinct_1", "1 token"],
      ["samples/distinct_2", "2 tokens"],
      ["samples/distinct_3", "3 tokens"],
    ],
  },
  {
    title: "Self-BLEU",
    lines: [
      ["samples/self_bleu", "answers to one prompt"],
      ["samples/self_bleu_across", "answers to different prompts"],
    ],
    note: "100: all the same.",
  },
  { title: "Length of sampled answers", lines: [["samples/length", "mean"]] },
  { title: "Entropy at sampled answers", lines: [["samples/entropy", "next token"]] },
];

/** The answers that the collapse watch samples. */
export const SAMPLE_PLANS: readonly ChartPlan[] = SAMPLES.map((plan) => ({ ...plan, isSampled: true }));

/** The other curves. */
export const TRAINING_PLANS: readonly ChartPlan[] = [
  { title: "Loss", lines: [["loss", "loss"]] },
  { title: "Rewards", lines: CHOSEN_AND_REJECTED("rewards") },
  { title: "Accuracy of rewards", lines: [["accuracy", "chosen above rejected"]] },
  { title: "Margin of rewards", lines: [["margin", "chosen − rejected"]] },
  {
    title: "Reward",
    lines: [
      ["min_reward", "smallest"],
      ["mean_reward", "mean"],
      ["max_reward", "greatest"],
    ],
  },
  {
    title: "Terms of the loss",
    lines: [
      ["slime/anchor_loss", "anchor"],
      ["slime/margin_loss", "margin"],
      ["slime/rejected_penalty", "stabiliser"],
    ],
  },
  {
    title: "Where the pairs are",
    lines: [
      ["slime/frac_hard_satisfied", "beyond the hard margin"],
      ["slime/frac_soft_zone", "between soft and hard"],
      ["slime/frac_rejected_tokens_penalised", "rejected tokens held back"],
    ],
  },
  { title: "Likelihood term", lines: [["nll_loss", "nll"]] },
  { title: "Gradient norm", lines: [["grad_norm", "before clipping"]] },
  { title: "Learning rate", lines: [["learning_rate", "learning rate"]] },
  { title: "Answer length", lines: CHOSEN_AND_REJECTED("lengths") },
  { title: "Token accuracy", lines: [["mean_token_accuracy", "chosen answers"]] },
  { title: "Entropy", lines: [["entropy", "answers"]] },
  { title: "Throughput", lines: [["tokens_per_second", "tokens per second"]] },
];

/** A run's rows under its name. */
export interface NamedRows {
  name: string;
  rows: readonly MetricRow[];
}

/** The charts of one run that have data; evaluation figures lie over the training curve. */
export function runCharts(plans: readonly ChartPlan[], rows: readonly MetricRow[]): Chart[] {
  return plans.flatMap((plan) =>
    chart(
      plan,
      plan.lines.flatMap(([key, name], i) => seriesOf(rows, key, name, i + 1)),
      plan.lines[0]?.[0] ?? "",
    ),
  );
}

/** A chart per metric that has data, with a line per run. */
export function comparisonCharts(plans: readonly ChartPlan[], runs: readonly NamedRows[]): Chart[] {
  return plans.flatMap((plan) =>
    plan.lines.flatMap(([key, name]) => {
      const title = plan.lines.length === 1 ? plan.title : `${plan.title}: ${name}`;
      const series = runs.flatMap((run, i) => seriesOf(run.rows, key, run.name, (i % 6) + 1));
      return chart({ ...plan, title }, series, key);
    }),
  );
}

function chart(plan: ChartPlan, series: readonly Series[], key: string): Chart[] {
  if (series.length === 0) return [];
  const drawn = plan.isSampled === true ? series.map((one) => ({ ...one, isEval: false })) : series;
  const base = { title: plan.title, unit: metricInfo(key)?.unit ?? "", xLabel: "step", series: drawn };
  return [plan.note === undefined ? base : { ...base, note: plan.note }];
}

function seriesOf(rows: readonly MetricRow[], key: string, name: string, colour: number): Series[] {
  const train = pointsOf(rows, key);
  const held = pointsOf(rows, `eval_${key}`);
  const lines: Series[] = [];
  if (train.length > 0) lines.push({ name, colour, points: train, isEval: false });
  if (held.length > 0) lines.push({ name, colour, points: held, isEval: true });
  return lines;
}

/** [step, value] of one metric. */
export function pointsOf(rows: readonly MetricRow[], key: string): [number, number][] {
  return rows.flatMap((row) => {
    const value = row[key];
    return typeof value === "number" ? [[row.global_step, value] as [number, number]] : [];
  });
}

/**
 * The rows with the changes since the start filled in from the means per token, or from the sums, where the run did not
 * log them. The first evaluation then counts as the start. Held-out rows only: they are the same each time, while a
 * difference between two training windows would compare different answers.
 */
export function withDisplacement(rows: readonly MetricRow[]): MetricRow[] {
  return ["chosen", "rejected"].reduce<MetricRow[]>(fillDelta, [...rows]);
}

function fillDelta(rows: MetricRow[], side: string): MetricRow[] {
  const target = `eval_logps/${side}_delta_init`;
  if (pointsOf(rows, target).length > 0) return rows;
  const sources = [`eval_logps/${side}_mean`, `eval_logps/${side}`];
  const source = sources.find((key) => pointsOf(rows, key).length > 1);
  if (source === undefined) return rows;
  const start = pointsOf(rows, source)[0]?.[1] ?? Number.NaN;
  return rows.map((row) => {
    const value = row[source];
    return typeof value === "number" ? { ...row, [target]: value - start } : row;
  });
}
