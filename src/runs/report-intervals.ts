/** Figures with their intervals as inline SVG: a dot and a bar for each, one under the other. */
import { type Html, html } from "./report-html.ts";

/** A figure. NaN where it is not known. */
export interface IntervalRow {
  name: string;
  value: number;
  interval: { low: number; high: number };
}

/** A chart of figures that share a scale. */
export interface IntervalChart {
  title: string;
  unit: string;
  rows: readonly IntervalRow[];
  /** Marks of the axis in ascending order, its ends first and last. */
  ticks: readonly number[];
  /** A value with a line of its own, such as that of chance. */
  mark?: number;
  show: (value: number) => string;
}

const WIDTH = 440;
const ROW = 26;
const PLOT = { left: 150, right: WIDTH - 16, top: 6 };
/** Longest name in characters that the margin holds. */
const LONGEST = 24;

/** The chart as a figure. */
export function intervalChart({ title, unit, rows, ticks, mark, show }: IntervalChart): Html {
  const [from, to] = [ticks[0] ?? 0, ticks.at(-1) ?? 1];
  const bottom = PLOT.top + ROW * rows.length;
  const x = (value: number): number => {
    const share = (Math.min(to, Math.max(from, value)) - from) / (to - from);
    return Math.round(10 * (PLOT.left + share * (PLOT.right - PLOT.left))) / 10;
  };
  const grid = ticks.map(
    (tick) => html`<path class="grid" d="M${x(tick)} ${PLOT.top}V${bottom}"/>
<text x="${x(tick)}" y="${bottom + 16}" text-anchor="middle">${show(tick)}</text>`,
  );
  const line = mark === undefined ? html`` : html`<path class="mark" d="M${x(mark)} ${PLOT.top}V${bottom}"/>`;
  const summary = rows.map(({ name, value }) => `${name} ${show(value)}`).join(", ");
  return html`<figure>
<figcaption>${title} <small>${unit}</small></figcaption>
<svg class="chart" viewBox="0 0 ${WIDTH} ${bottom + 24}" role="img" aria-label="${title}: ${summary}">
${grid}${line}
${rows.map((row, i) => rowHtml(row, PLOT.top + ROW * (i + 0.5), x, show))}
</svg>
</figure>`;
}

function rowHtml(
  { name, value, interval: { low, high } }: IntervalRow,
  y: number,
  x: (value: number) => number,
  show: (value: number) => string,
): Html {
  const short = name.length > LONGEST ? `${name.slice(0, LONGEST - 1)}…` : name;
  const label = html`<text x="${PLOT.left - 8}" y="${y + 4}" text-anchor="end">${short}</text>`;
  if (Number.isNaN(value)) return label;
  const bar = Number.isNaN(low) ? html`` : html`<path class="line" d="M${x(low)} ${y}H${x(high)}"/>`;
  const words = Number.isNaN(low) ? show(value) : `${show(value)}, ${show(low)} to ${show(high)}`;
  return html`${label}<g class="c1">${bar}<circle class="dot full" cx="${x(value)}" cy="${y}" r="4"><title>${name}: ${words}</title></circle></g>`;
}
