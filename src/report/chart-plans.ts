/** Which charts a report has, in which group, and which curves are on them. */
import { METRICS } from "../config/metric-names.ts";
import { type MethodName, methodOf } from "../methods/index.ts";

/** A chart of a report: its title and the metrics on it. */
export interface ChartPlan {
  title: string;
  /** [metric, name in the legend] */
  lines: readonly (readonly [string, string])[];
  /** Sentences under the picture. */
  note?: string;
  /** Left out: by the table of metrics. */
  unit?: string;
  /** Figures of sampled answers: there is one curve of each, not one of training and one of held-out rows. */
  isSampled?: true;
  /** It says which of two answers is the better one: to be read against what length alone tells. */
  isAccuracy?: true;
  /** In the unit of the objective's own loss or reward: curves of different objectives cannot be compared. */
  isOwnUnit?: true;
}

/** What became of the held-out pairs, by the model's log-probs: the same whatever the objective. Chosen and rejected have separate panels. */
export const OUTCOME_PLANS: readonly ChartPlan[] = [
  {
    title: "Chosen answers since the start",
    lines: [["logps/chosen_delta_init", "log-likelihood"]],
    note: "Above 0: more likely than before training.",
  },
  { title: "Rejected answers since the start", lines: [["logps/rejected_delta_init", "log-likelihood"]] },
  {
    title: "Margin since the start",
    lines: [["logps/margin_delta_init", "chosen − rejected"]],
    unit: "nats/token",
  },
  {
    title: "Accuracy",
    lines: [["logps/accuracies", "chosen above rejected"]],
    note: "Pairs whose chosen answer has the higher log-likelihood per token.",
    isAccuracy: true,
  },
  {
    title: "Accuracy",
    lines: [["accuracy", "chosen above rejected"]],
    note: "Pairs whose chosen answer has the higher reward.",
    isAccuracy: true,
  },
  {
    title: "Drift of single tokens",
    lines: [
      ["displacement/token_change_mean_abs", "chosen answers"],
      ["displacement/rejected_token_change_mean_abs", "rejected answers"],
    ],
    note: "Mean absolute change of a token's log-probability.",
  },
  {
    title: "Tail of single tokens",
    lines: [
      ["displacement/token_change_p01", "chosen answers"],
      ["displacement/rejected_token_change_p01", "rejected answers"],
    ],
    note: "Of 100 tokens one lost more than this. docs/displacement.md says what is much.",
  },
  { title: "Other text since the start", lines: [["displacement/other_text_change", "log-likelihood"]] },
  {
    title: "How the pairs moved",
    lines: [
      ["displacement/frac_chosen_down", "chosen down"],
      ["displacement/frac_both_down", "both down"],
      ["displacement/frac_both_up", "both up"],
    ],
  },
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

const own = { isOwnUnit: true } as const;

/** How training went, the terms of the objectives' losses among it, each in a separate panel. */
export function trainingPlans(objectives: readonly MethodName[]): ChartPlan[] {
  const terms = new Map(
    objectives
      .flatMap((name) => methodOf(name).metrics)
      .flatMap(({ key, term, definition }) => (term === undefined ? [] : [[key, { term, definition }]])),
  );
  const dpoLike = objectives.some((name) => methodOf(name).needsReference);
  return [
    { title: "Loss", lines: [["loss", "loss"]], ...own },
    ...[...terms].map(
      ([key, { term, definition }]): ChartPlan => ({
        ...{ title: `Term: ${term.slice(0, 1).toLowerCase()}${term.slice(1)}`, note: definition },
        lines: [[key, "term"]],
        ...own,
      }),
    ),
    { title: "Reward of chosen answers", lines: [["rewards/chosen", "chosen"]], ...own },
    { title: "Reward of rejected answers", lines: [["rewards/rejected", "rejected"]], ...own },
    { title: "Margin of rewards", lines: [["rewards/margins", "chosen − rejected"]], ...own },
    {
      title: "Accuracy by the objective's own reward",
      lines: [["rewards/accuracies", "chosen above rejected"]],
      note: `Strictly above, as in TRL.${dpoLike ? " With a reference both rewards are 0 at the start: no pair is right there." : ""}`,
      isAccuracy: true,
    },
    { title: "Margin of rewards", lines: [["margin", "chosen − rejected"]], ...own },
    {
      title: "Reward",
      lines: [
        ["min_reward", "smallest"],
        ["mean_reward", "mean"],
        ["max_reward", "greatest"],
      ],
      ...own,
    },
    {
      title: "Where the pairs are",
      lines: [
        ["slime/frac_hard_satisfied", "beyond the hard margin"],
        ["slime/frac_soft_zone", "between soft and hard"],
      ],
      note: "Fractions of the pairs.",
    },
    {
      title: "Rejected tokens held back",
      lines: [["slime/frac_rejected_tokens_penalised", "below −delta"]],
      note: "Fraction of the rejected tokens.",
    },
    { title: "Gradient norm", lines: [["grad_norm", "before clipping"]], ...own },
    { title: "Learning rate", lines: [["learning_rate", "learning rate"]] },
    {
      title: "Answer length",
      lines: [
        ["lengths/chosen", "chosen"],
        ["lengths/rejected", "rejected"],
      ],
    },
    { title: "Token accuracy", lines: [["mean_token_accuracy", "chosen answers"]] },
    { title: "Entropy", lines: [["entropy", "answers"]] },
  ];
}

/** What training cost. */
export const MACHINE_PLANS: readonly ChartPlan[] = [
  { title: "Throughput", lines: [["tokens_per_second", "input tokens"]] },
  { title: "Time of a step", lines: [["step_time", "mean"]] },
  { title: "Peak memory", lines: [["peak_memory_bytes", "so far"]] },
  {
    title: "Time of an evaluation",
    lines: [
      ["eval_runtime", "whole"],
      ["eval_samples/seconds", "of it sampling answers"],
    ],
    isSampled: true,
  },
];

/** Where rows stand, and what needs no picture. */
const undrawn = new Set([
  "global_step",
  "epoch",
  "num_tokens",
  "skipped_steps",
  "runtime",
  "logps/chosen",
  "logps/rejected",
]);

/** A chart for each metric of the table that none of `plans` shows. */
export function otherPlans(plans: readonly ChartPlan[]): ChartPlan[] {
  const shown = new Set(plans.flatMap(({ lines }) => lines.map(([key]) => key.replace(/^eval_/, ""))));
  // a key may stand in the table twice: what it means differs by method
  const keys = [...new Set(METRICS.map(({ key }) => key))];
  return keys
    .filter((key) => !shown.has(key) && !undrawn.has(key) && !key.includes("NAME"))
    .map((key) => ({ title: key, lines: [[key, key]] }));
}
