/** A chart of figures with their intervals, one below the other with its name above it: readable at the width of a phone. */
import { formatNumber } from "../base/number-text.ts";
import { type Axis, axisOver, chartWidth, figureHtml, scaleOf, tickTexts } from "./axis.ts";
import { type Html, html } from "./html.ts";

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
  /** A value that is marked by a line, such as chance. */
  mark?: number;
  /** How a value is written. */
  show?: (value: number) => string;
}

const side = 14;
const rowHeight = 38;
const top = 6;

/** The chart as a figure; nothing where no row has a value. The dashed line is 0. */
export function intervalChartHtml(chart: IntervalChart): Html {
  const { title, unit, rows, note, mark } = chart;
  if (!rows.some(({ interval }) => Number.isFinite(interval.value))) return html``;
  const { at: x, ticks } = scaleOf(axisOf(chart), [side, chartWidth - side]);
  const bottom = top + rows.length * rowHeight;
  const upright = (value: number, style: string): Html =>
    html`<path class="${style}" d="M${x(value)} ${top}V${bottom}"/>`;
  const texts = chart.show === undefined ? tickTexts(ticks) : ticks.map(chart.show);
  const grid = ticks.map(
    (tick, i) =>
      html`${upright(tick, tick === 0 ? "zero" : "grid")}<text x="${x(tick)}" y="${bottom + 15}" text-anchor="middle">${texts[i] ?? ""}</text>`,
  );
  const line = mark === undefined ? html`` : upright(mark, "mark");
  const format = formatBy(chart.show ?? numberText);
  const lines = rows.map((row, i) => rowHtml(row, { y: top + i * rowHeight, x, format }));
  const label = `${title}: ${rows.map(format).join("; ")}`;
  return figureHtml({ title, unit, note, label, height: bottom + 22 }, [...grid, line, ...lines]);
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
  format: (row: IntervalRow) => string;
}

function rowHtml(row: IntervalRow, { y, x, format }: RowPlace): Html {
  const { value, low, high } = row.interval;
  const label = html`<text class="over" x="${side}" y="${y + 14}">${row.name}</text>`;
  if (!Number.isFinite(value)) return html`<g class="c1">${label}</g>`;
  const at = y + 26;
  const hasEnds = Number.isFinite(low) && Number.isFinite(high);
  const line = hasEnds
    ? html`<path class="line" d="M${x(low)} ${at}H${x(high)}M${x(low)} ${at - 4}V${at + 4}M${x(high)} ${at - 4}V${at + 4}"/>`
    : html``;
  return html`<g class="c1">${label}${line}<circle class="dot full" cx="${x(value)}" cy="${at}" r="3.5"/><rect class="hit" x="0" y="${y}" width="${chartWidth}" height="${rowHeight}" fill-opacity="0"><title>${format(row)}</title></rect></g>`;
}

/** "SLIME: 0.2 [0.1, 0.3], 3 seeds, 160 pairs" */
function formatBy(show: (value: number) => string): RowPlace["format"] {
  return ({ name, interval: { value, low, high, seeds, pairs } }) => {
    if (!Number.isFinite(value)) return `${name}: not known`;
    const count = seeds === undefined || pairs === undefined ? "" : `, ${seeds} seeds, ${pairs} pairs`;
    return `${name}: ${intervalText({ value, low, high }, show)}${count}`;
  };
}

/** "0.2 [0.1, 0.3]", or "0.2" where the ends are not known */
export function intervalText(
  { value, low, high }: { value: number; low: number; high: number },
  show: (value: number) => string = numberText,
): string {
  const hasEnds = Number.isFinite(low) && Number.isFinite(high);
  return hasEnds ? `${show(value)} [${show(low)}, ${show(high)}]` : show(value);
}

function numberText(value: number): string {
  return formatNumber(value).replaceAll("-", "−");
}
