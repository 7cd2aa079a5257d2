/** The curves of several runs: in groups; equal ones stand once, those that cannot be compared are marked. */
import { formatNumber } from "../base/number-text.ts";
import type { MethodSettings } from "../methods/index.ts";
import type { MetricRow } from "../runs/metrics.ts";
import { type ChartPlan, MACHINE_PLANS, OUTCOME_PLANS, SAMPLE_PLANS, trainingPlans } from "./chart-plans.ts";
import { type Html, html } from "./html.ts";
import { chartColours, inCharts } from "./in-charts.ts";
import { type ChartMark, chartHtml, type Series } from "./line-chart.ts";
import { chartOf, seriesOf } from "./metric-series.ts";
import { COMPLETION_PLANS, COST_PLANS, POLICY_PLANS, rewardPlans } from "./rollouts-section.ts";

/** A run's rows under its name, its method, and whether it samples what it trains on. */
export interface NamedRows {
  name: string;
  rows: readonly MetricRow[];
  method: MethodSettings;
  isOnPolicy: boolean;
}

/** A metric's curves: its chart, or where all runs have the same one, a sentence. */
interface Drawn {
  charts: Html[];
  same: string | null;
}

/** Two losses or rewards have one unit only where the method and all of its settings are the same. */
export function haveOneUnit(methods: readonly MethodSettings[]): boolean {
  return new Set(methods.map((method) => JSON.stringify(method))).size === 1;
}

/** The sections of curves. @param marks - what charts of accuracy are to be read against */
export function comparisonCharts(runs: readonly NamedRows[], marks: readonly ChartMark[]): Html[] {
  const objectives = [...new Set(runs.map(({ method }) => method.objective))];
  const isOnline = runs.some(({ isOnPolicy }) => isOnPolicy);
  const sampled = isOnline ? COMPLETION_PLANS : [];
  const training = trainingPlans(objectives).filter(({ title }) =>
    sampled.every((plan) => plan.title !== title),
  );
  const isOneUnit = haveOneUnit(runs.map(({ method }) => method));
  const isOwn = ({ isOwnUnit }: ChartPlan): boolean => isOwnUnit === true && !isOneUnit;
  const rewards = isOnline ? [...rewardPlans(runs.flatMap(({ rows }) => rows)), ...COST_PLANS] : [];
  const groups: [title: string, plans: readonly ChartPlan[], note: Html][] = [
    ["Outcome", [...rewards, ...OUTCOME_PLANS], html``],
    ["Sampled answers", [...SAMPLE_PLANS, ...sampled], html``],
    ["Training", [...(isOnline ? POLICY_PLANS : []), ...training.filter((plan) => !isOwn(plan))], html``],
    [
      "In units of each objective",
      training.filter(isOwn),
      html`<p>Each of these curves is in the unit of the run’s loss or reward: compare their courses, not their heights.</p>`,
    ],
    ["Machine", MACHINE_PLANS, html``],
  ];
  return groups.map(([title, plans, note]) => {
    const drawn = plans.flatMap((plan) => lineCharts(plan, runs, marks));
    const charts = drawn.flatMap((one) => one.charts);
    const same = drawn.flatMap((one) => one.same ?? []);
    if (charts.length === 0 && same.length === 0) return html``;
    const badge = note.text === "" ? html`` : html`<span class="badge">not comparable</span>`;
    const equal =
      same.length === 0 ? html`` : html`<p class="soft">The same in all runs: ${same.join("; ")}.</p>`;
    return html`<section><h2>${title}${badge}</h2>${note}<div class="charts">${charts}</div>${equal}</section>`;
  });
}

/** A chart for each line of a plan, as every run has one; several where the runs are more than the colours. */
function lineCharts(plan: ChartPlan, runs: readonly NamedRows[], marks: readonly ChartMark[]): Drawn[] {
  return plan.lines.map(([key, name]) => {
    const title = plan.lines.length === 1 ? plan.title : `${plan.title}: ${name}`;
    const own = runs.map((run, i) => seriesOf(run.rows, key, run.name, i + 1));
    const having = own.filter((series) => series.length > 0);
    const [any] = having;
    if (any === undefined) return { charts: [], same: null };
    if (having.length === runs.length && runs.length > 1 && new Set(own.map(courseOf)).size === 1) {
      return { charts: [], same: `${title.toLowerCase()} (${endsOf(any)})` };
    }
    const lines = merged(own);
    const charts = chartOf({ ...plan, title, lines: [[key, name]] }, lines, marks);
    // few runs keep their colour in all charts
    if (runs.length <= chartColours) return { charts: charts.map(chartHtml), same: null };
    const first = own[0]?.length === 0 ? null : (lines[0]?.name ?? null);
    return {
      charts: charts.flatMap((chart) => inCharts(chart, chart.series, first)).map(chartHtml),
      same: null,
    };
  });
}

/** Curves of several runs that are the same stand once, under all their names. */
function merged(own: readonly (readonly Series[])[]): Series[] {
  const groups = [
    ...Map.groupBy(
      own.filter((series) => series.length > 0),
      courseOf,
    ).values(),
  ];
  return groups.flatMap((group) => {
    const name = group.map(([series]) => series?.name ?? "").join(", ");
    return (group[0] ?? []).map((series) => ({ ...series, name }));
  });
}

function courseOf(series: readonly Series[]): string {
  return JSON.stringify(series.map(({ points, isEval }) => [points, isEval]));
}

function endsOf(series: readonly Series[]): string {
  const points = series[0]?.points ?? [];
  const [first, last] = [points[0]?.[1] ?? Number.NaN, points.at(-1)?.[1] ?? Number.NaN];
  return first === last ? formatNumber(first) : `from ${formatNumber(first)} to ${formatNumber(last)}`;
}
