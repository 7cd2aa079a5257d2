/** A chart of figures with their intervals, one below the other with its name above it: readable at the width of a phone. */
import { formatNumber } from "../base/number-text.ts";
import { type Html, html } from "./html.ts";
import { type Axis, axisOver, tickText } from "./line-chart.ts";

/** A figure. Without a value it has its name only; without ends, a dot. */
export interface IntervalRow {
  name: string;
  interval: { value: number; low: number; high: number; seeds?: number; pairs?: number };
}

/** Figures that share a scale. */
export interface IntervalChart {
  title: string;
  unit: string;
  rows: readonly IntervalRow[];
  /** A sentence under the title. */
  note?: string;
  /** Marks of the axis in ascending order, its ends first and last; without them the axis is as long as the intervals. */
  ticks?: readonly number[];
  /** A value with a line of its own, such as that of chance. */
  mark?: number;
  /** How a value is written. */
  show?: (value: number) => string;
}

const width = 440;
const side = 14;
const rowHeight = 38;
const top = 6;

/** The chart as a figure; nothing where no row has a value. The dashed line is 0. */
export function intervalChartHtml(chart: IntervalChart): Html {
  const { title, unit, rows, note, mark } = chart;
  if (!rows.some(({ interval }) => Number.isFinite(interval.value))) return html``;
  const { min, max, ticks } = axisOf(chart);
  const x = (value: number): number => {
    const share = (Math.min(max, Math.max(min, value)) - min) / (max - min);
    return Math.round(10 * (side + share * (width - 2 * side))) / 10;
  };
  const bottom = top + rows.length * rowHeight;
  const upright = (value: number, style: string): Html =>
    html`<path class="${style}" d="M${x(value)} ${top}V${bottom}"/>`;
  const show = chart.show ?? tickText;
  const grid = ticks.map(
    (tick) =>
      html`${upright(tick, tick === 0 ? "zero" : "grid")}<text x="${x(tick)}" y="${bottom + 15}" text-anchor="middle">${show(tick)}</text>`,
  );
  const line = mark === undefined ? html`` : upright(mark, "mark");
  const inWords = wordsBy(chart.show ?? numberText);
  const lines = rows.map((row, i) => rowHtml(row, { y: top + i * rowHeight, x, inWords }));
  const said = note === undefined ? html`` : html`<p>${note}</p>`;
  const summary = rows.map(inWords).join("; ");
  return html`<figure>
<figcaption>${title} <small>${unit}</small></figcaption>${said}
<svg class="chart" viewBox="0 0 ${width} ${bottom + 22}" role="img" aria-label="${title}: ${summary}">
${grid}${line}${lines}
</svg>
</figure>`;
}

function axisOf({ rows, ticks: given }: IntervalChart): Axis {
  const [first, last] = [given?.[0], given?.at(-1)];
  if (given !== undefined && first !== undefined && last !== undefined) {
    return { min: first, max: last, ticks: given };
  }
  return axisOver(rows.flatMap(({ interval: { value, low, high } }) => [low, high, value]));
}

interface RowPlace {
  y: number;
  x: (value: number) => number;
  inWords: (row: IntervalRow) => string;
}

function rowHtml(row: IntervalRow, { y, x, inWords }: RowPlace): Html {
  const { value, low, high } = row.interval;
  const label = html`<text class="over" x="${side}" y="${y + 14}">${row.name}</text>`;
  if (!Number.isFinite(value)) return html`<g class="c1">${label}</g>`;
  const at = y + 26;
  const hasEnds = Number.isFinite(low) && Number.isFinite(high);
  const line = hasEnds
    ? html`<path class="line" d="M${x(low)} ${at}H${x(high)}M${x(low)} ${at - 4}V${at + 4}M${x(high)} ${at - 4}V${at + 4}"/>`
    : html``;
  return html`<g class="c1">${label}${line}<circle class="dot full" cx="${x(value)}" cy="${at}" r="3.5"/><rect class="hit" x="0" y="${y}" width="${width}" height="${rowHeight}" fill-opacity="0"><title>${inWords(row)}</title></rect></g>`;
}

/** "SLIME: 0.2 [0.1, 0.3], 3 seeds, 160 pairs" */
function wordsBy(show: (value: number) => string): RowPlace["inWords"] {
  return ({ name, interval: { value, low, high, seeds, pairs } }) => {
    if (!Number.isFinite(value)) return `${name}: not known`;
    const count = seeds === undefined || pairs === undefined ? "" : `, ${seeds} seeds, ${pairs} pairs`;
    return `${name}: ${intervalWords({ value, low, high }, show)}${count}`;
  };
}

/** "0.2 [0.1, 0.3]", or "0.2" where the ends are not known */
export function intervalWords(
  { value, low, high }: { value: number; low: number; high: number },
  show: (value: number) => string = numberText,
): string {
  const hasEnds = Number.isFinite(low) && Number.isFinite(high);
  return hasEnds ? `${show(value)} [${show(low)}, ${show(high)}]` : show(value);
}

function numberText(value: number): string {
  return formatNumber(value).replaceAll("-", "−");
}
