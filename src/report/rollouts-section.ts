/** The sections of an on-policy run: what its reward costs, how completions change, and some of them. The text is a model's: hostile. */
import { at } from "../base/at.ts";
import type { EvaluationRecord } from "../runs/evaluation-records.ts";
import type { MetricRow } from "../runs/metrics.ts";
import type { RolloutRow } from "../runs/train-events.ts";
import { comparableSince } from "./best-evaluation.ts";
import type { ChartPlan } from "./chart-plans.ts";
import { cellText, type Html, html, shownText } from "./html.ts";
import { chartHtml } from "./line-chart.ts";
import { pointsOf, runCharts } from "./metric-series.ts";
import { scatterChartHtml } from "./scatter-chart.ts";

/** Rollouts of training of which completions are shown, and prompts of each. */
const shown = { rollouts: 4, prompts: 2 };
/** Characters of a completion that are shown. */
const longestText = 600;
/** Most points of a scatter chart that carry their step. */
const mostMarks = 6;

/** How completions change. */
export const COMPLETION_PLANS: readonly ChartPlan[] = [
  { title: "Entropy", lines: [["entropy", "next token"]] },
  {
    title: "Length of completions",
    lines: [
      ["completions/mean_length", "mean"],
      ["completions/mean_terminated_length", "of those that ended"],
    ],
  },
  { title: "Distinct completions of a prompt", lines: [["completions/distinct", "fraction"]] },
  {
    title: "Cut at max_completion_length",
    lines: [["completions/clipped_ratio", "fraction"]],
    note: "The others ended by themselves.",
  },
];

/** How training goes, besides what all runs have. */
export const POLICY_PLANS: readonly ChartPlan[] = [
  {
    title: "Groups of equal rewards",
    lines: [["frac_reward_zero_std", "fraction"]],
    note: "Nothing is learned from them.",
  },
  {
    title: "Ratio",
    lines: [
      ["ratio/min", "least"],
      ["ratio/mean", "mean"],
      ["ratio/max", "greatest"],
    ],
    note: "Exactly 1 at the first update of a rollout.",
  },
  {
    title: "Sampler against trainer",
    lines: [
      ["sampling/sampling_logp_difference/mean", "mean"],
      ["sampling/sampling_logp_difference/max", "greatest"],
    ],
  },
  {
    title: "Speed of each part",
    lines: [
      ["speed/sampling_tokens_per_second", "sampling"],
      ["speed/training_tokens_per_second", "training"],
    ],
  },
];

const goodChange = "eval_logps/chosen_delta_init";

/** Reward over time and against KL, gold and the likelihood of good completions. */
export function rewardSection(rows: readonly MetricRow[], evaluations: readonly EvaluationRecord[]): Html {
  const since = comparableSince(evaluations, "gold");
  const charts = [
    ...runCharts([...rewardPlans(rows), ...COST_PLANS], rows).map(chartHtml),
    against(rows, {
      title: "Reward against KL",
      x: ["eval_kl_init", "KL to the start, nats per completion"],
      y: ["eval_reward", "reward, held out"],
    }),
    against(
      rows.filter(({ global_step: step }) => step >= since),
      {
        title: "Proxy against gold",
        x: ["eval_reward", "reward that is trained on, held out"],
        y: ["eval_gold", "gold"],
      },
    ),
    against(rows, {
      title: "Good completions against reward",
      x: ["eval_reward", "reward, held out"],
      y: [goodChange, "change of log-prob, nats/token"],
    }),
  ].filter(({ text }) => text !== "");
  if (charts.length === 0) return html``;
  const said = unlearningNote(rows, since);
  const note = said === null ? html`` : html`<p class="note">${said}</p>`;
  return html`<section><h2>What does the reward cost?</h2>${note}<div class="charts">${charts}</div></section>`;
}

/** A chart for the sum, and one with each function's where there are several. */
export function rewardPlans(rows: readonly MetricRow[]): ChartPlan[] {
  const keys = [...new Set(rows.flatMap(Object.keys))].map((key) => key.replace(/^eval_/, ""));
  const names = new Set(keys.flatMap((key) => /^rewards\/(.+)\/mean$/.exec(key)?.[1] ?? []));
  const each = [...names].map((name): [string, string] => [`rewards/${name}/mean`, shownText(name, 40)]);
  return [...REWARD_PLANS, ...(each.length > 1 ? [{ title: "Rewards by function", lines: each }] : [])];
}

/** The reward that is trained on, and the one that is not. */
export const REWARD_PLANS: readonly ChartPlan[] = [
  {
    title: "Reward",
    lines: [
      ["reward", "reward"],
      ["gold", "gold"],
    ],
  },
];

/** What the reward cost. */
export const COST_PLANS: readonly ChartPlan[] = [
  { title: "KL to the start", lines: [["kl_init", "per completion"]] },
  {
    title: "Good completions since the start",
    lines: [["logps/chosen_delta_init", "log-prob per token"]],
    note: "Below 0: less likely than before training.",
  },
  { title: "Good completions that fell", lines: [["displacement/frac_chosen_down", "fraction"]] },
];

/** Evaluations by two of their figures, in order; nothing with fewer than two. */
function against(
  rows: readonly MetricRow[],
  { title, x, y }: { title: string; x: [key: string, label: string]; y: [key: string, label: string] },
): Html {
  const points = rows.flatMap((row) => {
    const [a, b] = [row[x[0]], row[y[0]]];
    return typeof a === "number" && typeof b === "number" && Number.isFinite(a) && Number.isFinite(b)
      ? [{ step: row.global_step, a, b }]
      : [];
  });
  if (points.length < 2) return html``;
  const every = Math.max(1, Math.ceil((points.length - 1) / (mostMarks - 1)));
  const exact = (value: number) => ({ value, low: Number.NaN, high: Number.NaN });
  return scatterChartHtml({
    ...{ title, xLabel: x[1], yLabel: y[1], isPath: true },
    note: "A point an evaluation, in the order of the steps that stand beside them.",
    points: points.map(({ step, a, b }, i) => ({
      ...{ name: `step ${step}`, colour: 1, x: exact(a), y: exact(b) },
      mark: i % every === 0 || i === points.length - 1 ? String(step) : "",
    })),
  });
}

/** What was paid for the reward, in words; null where nothing was, or nothing was gained. @param since - step from which on gold is of one kind */
function unlearningNote(rows: readonly MetricRow[], since: number): string | null {
  const ends = (key: string, from = 0): [number, number] => {
    const points = pointsOf(rows, key).filter(([step]) => step >= from);
    return [points[0]?.[1] ?? Number.NaN, points.at(-1)?.[1] ?? Number.NaN];
  };
  const [before, now] = ends("eval_reward");
  if (!(now > before)) return null;
  const [, change] = ends(goodChange);
  const [, down] = ends("eval_displacement/frac_chosen_down");
  const [goldBefore, goldNow] = ends("eval_gold", since);
  const number = (value: number): string => cellText(Number(value.toFixed(3)));
  const isLater = (pointsOf(rows, "eval_gold")[0]?.[0] ?? since) < since;
  const costs = [
    ...(change < 0
      ? [
          `good completions became less likely (${number(change)} nats per token, ${Math.round(100 * down)} % of them)`,
        ]
      : []),
    ...(goldNow < goldBefore
      ? [`gold fell from ${number(goldBefore)} to ${number(goldNow)}${isLater ? ` since step ${since}` : ""}`]
      : []),
  ];
  if (costs.length === 0) return null;
  return `On held-out prompts the reward rose from ${number(before)} to ${number(now)} while ${costs.join(", and ")}.`;
}

/** Some evaluations spread over the run, the first and the last among them. */
function spreadOver<T>(all: readonly T[], count: number): T[] {
  if (all.length <= count) return [...all];
  return Array.from({ length: count }, (_, i) => at(all, Math.round((i * (all.length - 1)) / (count - 1))));
}

/** Steps of the evaluations whose completions stand side by side. */
export function shownSteps(evaluations: readonly EvaluationRecord[]): number[] {
  const sampled = evaluations.filter(({ samples }) => samples.length > 0);
  return spreadOver(sampled, 4).map(({ global_step }) => global_step);
}

/** A group of a rollout: what is shown of it. */
interface ShownGroup {
  /** Its completions. */
  of: number;
  /** Of equal rewards the first. */
  best: ShownRow;
  /** Of equal rewards the last. */
  worst: ShownRow;
}

/** What is shown of a completion: a run has many, so the rest is dropped while they are read. */
type ShownRow = Pick<RolloutRow, "step" | "row" | "reward" | "advantage" | "selected" | "ended"> & {
  text: string;
};

/** Completions that a run was trained on, of which a report shows some: best and worst of some prompts of some rollouts. */
export class TrainedOn {
  /** The first groups of each rollout. */
  readonly #rounds: Map<number, Map<number, ShownGroup>> = new Map();

  /** Takes the next of them. */
  add(row: RolloutRow): void {
    const groups = this.#rounds.get(row.rollout) ?? new Map<number, ShownGroup>();
    this.#rounds.set(row.rollout, groups);
    const group = groups.get(row.group);
    if (group !== undefined) addTo(group, row);
    else if (groups.size < shown.prompts) {
      const first = shownRow(row);
      groups.set(row.group, { of: 1, best: first, worst: first });
    }
  }

  /** What is shown of them so far. */
  html(): Html {
    if (this.#rounds.size === 0) return html``;
    const rounds = [...this.#rounds.values()].map((groups) => [...groups.values()]);
    const body = spreadOver(rounds, shown.rollouts).flatMap((groups) =>
      groups.flatMap(({ best, worst, of }) =>
        (best.reward === worst.reward ? [best] : [best, worst]).map((row) => rowHtml(row, of)),
      ),
    );
    const head = ["step", "prompt", "reward", "advantage", "completion"].map(
      (name) => html`<th scope="col">${name}</th>`,
    );
    return html`<h3>Trained on</h3><p class="soft">Best and worst of the completions of ${shown.prompts} prompts of some rollouts; all are in rollouts.jsonl.gz.</p>
<div class="scroll" tabindex="0"><table class="wide"><thead><tr>${head}</tr></thead><tbody>${body}</tbody></table></div>`;
  }
}

/** The same of all of them. */
export function trainedOnHtml(rows: Iterable<RolloutRow>): Html {
  const some = new TrainedOn();
  for (const row of rows) some.add(row);
  return some.html();
}

function addTo(group: ShownGroup, row: RolloutRow): void {
  const reward = row.reward ?? Number.NEGATIVE_INFINITY;
  group.of++;
  if (reward > (group.best.reward ?? Number.NEGATIVE_INFINITY)) group.best = shownRow(row);
  if (reward <= (group.worst.reward ?? Number.NEGATIVE_INFINITY)) group.worst = shownRow(row);
}

function shownRow({ step, row, reward, advantage, selected, ended, completion }: RolloutRow): ShownRow {
  return {
    ...{ step, row, reward, ended, text: shownText(completion, longestText) },
    ...(advantage === undefined ? {} : { advantage }),
    ...(selected === undefined ? {} : { selected }),
  };
}

function rowHtml({ step, row, reward, advantage, selected, text, ended }: ShownRow, of: number): Html {
  const isSelected = selected === true ? html`<span class="tag">selected</span>` : html``;
  const isCut = ended ? html`` : html`<span class="tag">cut at the length limit</span>`;
  const shownAs =
    text === "" ? html`<span class="tag">empty</span>` : html`<div class="answer" tabindex="0">${text}</div>`;
  const place = row.split(/[\\/]/).at(-1) ?? row;
  return html`<tr><th scope="row">${step}</th><td>${shownText(place, 60)}<br><span class="tag">1 of ${of}</span></td><td class="number">${cellText(reward)}</td><td class="number">${cellText(advantage ?? null)}</td><td class="long">${shownAs}${isSelected}${isCut}</td></tr>`;
}
