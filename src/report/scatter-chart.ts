/** A chart of conditions by two figures, each with its interval both ways where it has one. Points carry the number that the table beside them has. */

import type { Estimate } from "../stats/crossed-bootstrap.ts";
import { axisOver, chartWidth, figureHtml, type Scale, scaleOf, tickText } from "./axis.ts";
import { type Html, html } from "./html.ts";
import { intervalText } from "./interval-chart.ts";

/** A value, and the ends of its interval, which may be NaN. */
type Interval = Pick<Estimate, "value" | "low" | "high">;

/** One condition. */
export interface ScatterPoint {
  name: string;
  /** What stands beside the point. */
  mark: string;
  /** Colour 1–7 of the style sheet. */
  colour: number;
  x: Interval;
  y: Interval;
}

/** The chart. */
export interface ScatterChart {
  title: string;
  xLabel: string;
  yLabel: string;
  points: readonly ScatterPoint[];
  note?: string;
  /** The points are joined in their order, in a chart of the usual width. */
  isPath?: boolean;
}

/** The chart as a figure. */
export function scatterChartHtml({
  title,
  xLabel,
  yLabel,
  points,
  note,
  isPath = false,
}: ScatterChart): Html {
  const shown = points.filter(({ x, y }) => Number.isFinite(x.value) && Number.isFinite(y.value));
  if (shown.length === 0) return html``;
  // a path stands beside line charts, which are as high
  const height = isPath ? 250 : 340;
  const plot = { left: 70, right: chartWidth - 14, top: 12, bottom: height - 40 };
  const x = scale(
    shown.map((point) => point.x),
    [plot.left, plot.right],
  );
  const y = scale(
    shown.map((point) => point.y),
    [plot.bottom, plot.top],
  );
  const columns = x.ticks.map(
    (tick) =>
      html`<path class="${tick === 0 ? "zero" : "grid"}" d="M${x.at(tick)} ${plot.top}V${plot.bottom}"/><text x="${x.at(tick)}" y="${plot.bottom + 15}" text-anchor="middle">${tickText(tick)}</text>`,
  );
  const rows = y.ticks.map(
    (tick) =>
      html`<path class="${tick === 0 ? "zero" : "grid"}" d="M${plot.left} ${y.at(tick)}H${plot.right}"/><text x="${plot.left - 6}" y="${y.at(tick) + 4}" text-anchor="end">${tickText(tick)}</text>`,
  );
  const dots = shown.map((point) => pointHtml(point, x.at, y.at));
  const d = shown.map((point) => `${x.at(point.x.value)} ${y.at(point.y.value)}`).join("L");
  const path = isPath ? [html`<g class="c6"><path class="line whisker" d="M${d}"/></g>`] : [];
  const [middleX, middleY] = [(plot.left + plot.right) / 2, (plot.top + plot.bottom) / 2];
  const names = html`<text x="${middleX}" y="${height - 6}" text-anchor="middle">${xLabel}</text>
<text x="12" y="${middleY}" text-anchor="middle" transform="rotate(-90 12 ${middleY})">${yLabel}</text>`;
  const label = `${title}: ${shown.length} points`;
  return figureHtml({ title, note, label, height, isLarge: !isPath }, [
    ...columns,
    ...rows,
    ...path,
    ...dots,
    names,
  ]);
}

function pointHtml(point: ScatterPoint, x: (value: number) => number, y: (value: number) => number): Html {
  const [cx, cy] = [x(point.x.value), y(point.y.value)];
  const hasEnds = [point.x, point.y].every(({ low, high }) => Number.isFinite(low) && Number.isFinite(high));
  const whiskers = hasEnds
    ? html`<path class="line whisker" d="M${x(point.x.low)} ${cy}H${x(point.x.high)}M${cx} ${y(point.y.low)}V${y(point.y.high)}"/>`
    : html``;
  const title = html`<title>${point.name}: ${intervalText(point.x)}; ${intervalText(point.y)}</title>`;
  return html`<g class="c${point.colour}">${whiskers}<circle class="dot full" cx="${cx}" cy="${cy}" r="3.5"/><text class="over" x="${cx + 6}" y="${cy - 5}">${point.mark}</text><circle class="hit" cx="${cx}" cy="${cy}" r="10">${title}</circle></g>`;
}

function scale(intervals: readonly Interval[], range: readonly [number, number]): Scale {
  return scaleOf(axisOver(intervals.flatMap(({ low, high, value }) => [low, high, value])), range);
}
