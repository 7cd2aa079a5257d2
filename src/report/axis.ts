/** Axes and scales of charts, and the figure that a chart stands in. */
import { formatNumber } from "../base/number-text.ts";
import { type Html, html } from "./html.ts";

/** What an axis reaches over, and where it has lines. */
export interface Axis {
  min: number;
  max: number;
  ticks: readonly number[];
}

/** An axis and where its values stand in the picture. */
export interface Scale extends Axis {
  /** The place of a value, to a tenth; beyond the axis, its end. */
  at(value: number): number;
}

/** `axis` drawn between two places. */
export function scaleOf(axis: Axis, [from, to]: readonly [number, number]): Scale {
  const { min, max } = axis;
  const at = (value: number): number =>
    round(from + ((Math.min(max, Math.max(min, value)) - min) / (max - min)) * (to - from));
  return { ...axis, at };
}

/**
 * The axis for the finite ones of `values`, 0 to 1 where there are none, with room for marks at both ends.
 *
 * @param isSteps - values are counts of steps: the axis begins at 0 and ends with the last of them
 */
export function axisOver(values: Iterable<number>, isSteps = false): Axis {
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    min = Math.min(min, value);
    max = Math.max(max, value);
  }
  if (min > max) [min, max] = [0, 1];
  if (isSteps) {
    // from 0, also where the first figure is logged later, and to 1 where there is that of the start alone
    [min, max] = [Math.min(min, 0), Math.max(max, 1)];
  } else {
    const room = max === min ? Math.abs(max) * 0.1 || 1 : (max - min) * 0.06;
    [min, max] = [min - room, max + room];
  }
  return { min, max, ticks: ticksBetween(min, max, isSteps) };
}

/** About six round numbers between two bounds. */
function ticksBetween(min: number, max: number, isSteps: boolean): number[] {
  const rough = (max - min) / 6;
  const power = 10 ** Math.floor(Math.log10(rough));
  const unit = [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999) ?? 10;
  const step = isSteps ? Math.max(1, unit * power) : unit * power;
  const first = Math.ceil(min / step);
  const count = Math.floor(max / step) - first + 1;
  // Multiples of the step rather than sums of it: 0.1 + 0.2 is no round number.
  return Array.from({ length: Math.max(0, count) }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** The numbers of an axis in few characters, and in more where few would make two of them equal. */
export function tickTexts(ticks: readonly number[]): string[] {
  const short = ticks.map(tickText);
  const differ = (texts: readonly string[]): boolean => new Set(texts).size === texts.length;
  if (differ(short)) return short;
  const withDigits = (digits: number): string[] =>
    ticks.map((tick) => tick.toFixed(digits).replace("-", "−"));
  // ticks have at most twelve digits that count
  const digits = Array.from({ length: 13 }, (_, i) => i).find((count) => differ(withDigits(count))) ?? 12;
  return withDigits(digits);
}

/** A tick's number in few characters. */
export function tickText(value: number): string {
  const size = Math.abs(value);
  if (size > 0 && size < 1e-4) return value.toExponential().replaceAll("-", "−");
  return formatNumber(value).replace("-", "−");
}

/** To a tenth of a pixel. */
export function round(value: number): number {
  return Math.round(value * 10) / 10;
}

/** Width of every chart; reports scale it to the page. */
export const chartWidth = 440;

/** What stands around a chart. */
export interface Figure {
  title: string;
  unit?: string | undefined;
  /** Sentences under the picture. */
  note?: string | undefined;
  legend?: Html | undefined;
  /** The picture in words. */
  label: string;
  height: number;
  isLarge?: boolean;
}

/** A chart with its title, as inline SVG. Its four parts stand in rows that it shares with the figures beside it. */
export function figureHtml(figure: Figure, chart: Html | readonly Html[]): Html {
  const { title, unit = "", note, legend = html``, label, height, isLarge = false } = figure;
  return html`<figure${isLarge ? html` class="large"` : html``}>
<figcaption>${title}${unit === "" ? html`` : html` <small>${unit}</small>`}</figcaption>
<div>${legend}</div>
<svg class="chart" viewBox="0 0 ${chartWidth} ${height}" role="img" aria-label="${label}">
${chart}
</svg>
<p>${note ?? ""}</p>
</figure>`;
}
