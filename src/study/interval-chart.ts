/** A chart of figures with their intervals, one condition below the other: readable at the width of a phone. */
import { formatNumber } from "../runs/number-text.ts";
import { ticksBetween, tickText } from "../runs/report-chart.ts";
import { type Html, html } from "../runs/report-html.ts";
import type { Interval } from "./bootstrap.ts";

/** One line of the chart. */
export interface IntervalRow {
  name: string;
  interval: Interval;
}

/** The chart. */
export interface IntervalChart {
  title: string;
  unit: string;
  rows: readonly IntervalRow[];
  /** A sentence under the title. */
  note?: string;
}

const width = 440;
const side = 14;
const rowHeight = 38;
const top = 6;

/** The chart as a figure. Each row has its name above its line; the dashed line is 0. */
export function intervalChartHtml({ title, unit, rows, note }: IntervalChart): Html {
  const shown = rows.filter(({ interval }) => Number.isFinite(interval.value));
  if (shown.length === 0) return html``;
  const ends = shown
    .flatMap(({ interval }) => [interval.low, interval.high, interval.value])
    .filter(Number.isFinite);
  let [min, max] = [Math.min(...ends), Math.max(...ends)];
  // room for the dot at the end
  const room = max === min ? Math.abs(max) * 0.1 || 1 : (max - min) * 0.06;
  [min, max] = [min - room, max + room];
  const x = (value: number): number => round(side + ((value - min) / (max - min)) * (width - 2 * side));
  const bottom = top + shown.length * rowHeight;
  const ticks = ticksBetween(min, max, false).map((tick) => {
    const style = tick === 0 ? "zero" : "grid";
    return html`<path class="${style}" d="M${x(tick)} ${top}V${bottom}"/><text x="${x(tick)}" y="${bottom + 15}" text-anchor="middle">${tickText(tick)}</text>`;
  });
  const lines = shown.map((row, i) => rowHtml(row, top + i * rowHeight, x));
  const said = note === undefined ? html`` : html`<p>${note}</p>`;
  const summary = shown.map(({ name, interval }) => `${name} ${inWords(interval)}`).join("; ");
  return html`<figure>
<figcaption>${title} <small>${unit}</small></figcaption>${said}
<svg class="chart" viewBox="0 0 ${width} ${bottom + 22}" role="img" aria-label="${title}: ${summary}">
${ticks}${lines}
</svg>
</figure>`;
}

function rowHtml({ name, interval }: IntervalRow, y: number, x: (value: number) => number): Html {
  const { value, low, high, seeds, pairs } = interval;
  const at = y + 26;
  const hasEnds = Number.isFinite(low) && Number.isFinite(high);
  const line = hasEnds
    ? html`<path class="line" d="M${x(low)} ${at}H${x(high)}M${x(low)} ${at - 4}V${at + 4}M${x(high)} ${at - 4}V${at + 4}"/>`
    : html``;
  const title = html`<title>${name}: ${inWords(interval)}, ${seeds} seeds, ${pairs} pairs</title>`;
  return html`<g class="c1"><text class="over" x="${side}" y="${y + 14}">${name}</text>${line}<circle class="dot full" cx="${x(value)}" cy="${at}" r="3.5"/><rect class="hit" x="0" y="${y}" width="${width}" height="${rowHeight}" fill-opacity="0">${title}</rect></g>`;
}

/** "0.2 [0.1, 0.3]" */
function inWords({ value, low, high }: Interval): string {
  return `${formatNumber(value)} [${formatNumber(low)}, ${formatNumber(high)}]`.replaceAll("-", "−");
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
