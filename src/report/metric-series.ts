/** How the curves of a report are taken from rows of metrics. */
import { metricInfo } from "../config/metric-names.ts";
import type { MetricRow } from "../runs/metrics.ts";
import type { ChartPlan } from "./chart-plans.ts";
import type { Chart, ChartMark, Series } from "./line-chart.ts";

/**
 * The charts of one run that have data; evaluation figures lie over the training curve.
 *
 * @param marks - what charts of accuracy are to be read against
 */
export function runCharts(
  plans: readonly ChartPlan[],
  rows: readonly MetricRow[],
  marks: readonly ChartMark[] = [],
): Chart[] {
  return plans.flatMap((plan) => {
    const series = plan.lines.flatMap(([key, name], i) => seriesOf(rows, key, name, i + 1));
    return chartOf(plan, series, marks);
  });
}

/** The chart of a plan with these curves; none where there are no curves. */
export function chartOf(plan: ChartPlan, series: readonly Series[], marks: readonly ChartMark[]): Chart[] {
  if (series.length === 0) return [];
  const key = plan.lines[0]?.[0] ?? "";
  const drawn = plan.isSampled === true ? series.map((one) => ({ ...one, isEval: false })) : series;
  const unit = plan.unit ?? metricInfo(key)?.unit ?? "";
  const scaled = unit === "bytes" ? inGiB(drawn) : { unit, series: drawn };
  return [
    {
      ...{ title: plan.title, xLabel: "step", ...scaled },
      ...(plan.note === undefined ? {} : { note: plan.note }),
      ...(plan.isAccuracy === true ? { marks } : {}),
    },
  ];
}

function inGiB(series: readonly Series[]): Pick<Chart, "unit" | "series"> {
  const points = (one: Series): Series["points"] => one.points.map(([x, bytes]) => [x, bytes / 2 ** 30]);
  return { unit: "GiB", series: series.map((one) => ({ ...one, points: points(one) })) };
}

/** The curves of a metric in these rows: of training, and of held-out rows. */
export function seriesOf(rows: readonly MetricRow[], key: string, name: string, colour: number): Series[] {
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
  return ["chosen", "rejected"].reduce<MetricRow[]>(fillDelta, [...rows]).map(withMarginDelta);
}

/** The row with the change of the margin since the start, where it has those of both sides. */
export function withMarginDelta(row: MetricRow): MetricRow {
  const [chosen, rejected] = [row["eval_logps/chosen_delta_init"], row["eval_logps/rejected_delta_init"]];
  if (typeof chosen !== "number" || typeof rejected !== "number") return row;
  return { ...row, "eval_logps/margin_delta_init": chosen - rejected };
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
