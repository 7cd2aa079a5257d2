/** Line charts as inline SVG: axes with units, legend, a hover title per point, marks where a value is not finite. */
import { formatNumber } from "../base/number-text.ts";
import { axisOver, chartWidth, figureHtml, round, type Scale, scaleOf, tickTexts } from "./axis.ts";
import { type Html, html } from "./html.ts";

/** One line of a chart. */
export interface Series {
  name: string;
  /** Colour 1–7 of the style sheet. */
  colour: number;
  /** [x, y], x ascending; y may be NaN or infinite. */
  points: readonly (readonly [number, number])[];
  /** Held-out figures: dashed, with open dots. */
  isEval: boolean;
  /** [x, low, high] of the interval around the line, x ascending. */
  band?: readonly (readonly [number, number, number])[];
}

/** A chart. */
export interface Chart {
  title: string;
  unit: string;
  xLabel: string;
  /** x is no count of steps: the axis need not begin at 0. */
  isOverValues?: boolean;
  series: readonly Series[];
  /** Sentences under the picture. */
  note?: string;
  /** Values that are marked by a line across the chart. */
  marks?: readonly ChartMark[];
}

/** A value that curves are to be read against, such as chance. */
export interface ChartMark {
  value: number;
  name: string;
}

const HEIGHT = 236;
const PLOT = { left: 52, right: chartWidth - 12, top: 10, bottom: HEIGHT - 36 };
/** Most points drawn per line, about two per pixel of a phone. */
const MAX_POINTS = 400;
/** Most points with a hover title per line. */
const MAX_TITLES = 80;

/** The chart as a figure. */
export function chartHtml(chart: Chart): Html {
  const x = scaleFor(chart, 0, [PLOT.left, PLOT.right]);
  const y = scaleFor(chart, 1, [PLOT.bottom, PLOT.top]);
  const { title, unit, note, series } = chart;
  const needsLegend = series.length > 1 || series[0]?.isEval === true;
  return figureHtml(
    {
      title,
      unit,
      note,
      legend: needsLegend ? legend(series) : undefined,
      label: summary(chart),
      height: HEIGHT,
    },
    [...axes(chart, x, y), ...marksHtml(chart, y), ...series.map((one) => seriesHtml(one, chart, x, y))],
  );
}

/** A key per colour, and one for the dashes of held-out figures. */
export function legend(series: readonly Pick<Series, "name" | "colour" | "isEval">[]): Html {
  const colours = new Set(series.map(({ colour }) => colour));
  const items = [...colours].map((colour) => {
    const line = series.find((one) => one.colour === colour);
    return html`<li>${key(`c${colour}`, "line")}${line?.name ?? ""}</li>`;
  });
  if (series.some(({ isEval }) => isEval)) items.push(html`<li>${key("", "line eval")}held out</li>`);
  return html`<ul class="legend">${items}</ul>`;
}

function key(colour: string, style: string): Html {
  return html`<svg class="${colour}" viewBox="0 0 22 10" aria-hidden="true"><path class="${style}" d="M1 5H21"/></svg>`;
}

function summary({ title, unit, series, marks = [] }: Chart): string {
  const parts = series.map(({ name, points, isEval }) => {
    const first = points[0]?.[1] ?? Number.NaN;
    const last = points.at(-1)?.[1] ?? Number.NaN;
    return `${isEval ? `${name}, held out,` : name} from ${formatNumber(first)} to ${formatNumber(last)}`;
  });
  const against = marks.map(({ name, value }) => `${name} ${formatNumber(value)}`);
  return `${title}${unit === "" ? "" : ` in ${unit}`}: ${[...parts, ...against].join("; ")}`;
}

/** A scale over the finite values of one coordinate of all lines. */
function scaleFor(chart: Chart, coordinate: 0 | 1, range: readonly [number, number]): Scale {
  const values = chart.series.flatMap(({ points, band = [] }) => [
    ...points.map((point) => point[coordinate]),
    ...(coordinate === 0 ? [] : band.flatMap(([, low, high]) => [low, high])),
  ]);
  if (coordinate === 1) values.push(...(chart.marks ?? []).map(({ value }) => value));
  const axis = axisOver(values, coordinate === 0 && chart.isOverValues !== true);
  if (coordinate === 0 || chart.unit !== "share") return scaleOf(axis, range);
  // the room around the line is no place where a share could be
  const isPossible = (tick: number): boolean =>
    (tick <= 1 || values.some((value) => value > 1)) && (tick >= 0 || values.some((value) => value < 0));
  return scaleOf({ ...axis, ticks: axis.ticks.filter(isPossible) }, range);
}

function axes(chart: Chart, x: Scale, y: Scale): Html[] {
  const [texts, names] = [tickTexts(y.ticks), tickTexts(x.ticks)];
  const rows = y.ticks.map((tick, i) => {
    const at = y.at(tick);
    const style = tick === 0 && y.min < 0 && y.max > 0 ? "zero" : "grid";
    return html`<path class="${style}" d="M${PLOT.left} ${at}H${PLOT.right}"/><text x="${PLOT.left - 6}" y="${at + 4}" text-anchor="end">${texts[i] ?? ""}</text>`;
  });
  const columns = x.ticks.map(
    (tick, i) =>
      html`<text x="${x.at(tick)}" y="${PLOT.bottom + 16}" text-anchor="middle">${names[i] ?? ""}</text>`,
  );
  const middle = round((PLOT.left + PLOT.right) / 2);
  const name = html`<text x="${middle}" y="${HEIGHT - 4}" text-anchor="middle">${chart.xLabel}</text>`;
  return [...rows, ...columns, name];
}

/** Lines at the marks with their names at the right. */
function marksHtml({ marks = [], unit }: Chart, y: Scale): Html[] {
  return marks.map(({ value, name }) => {
    const at = y.at(value);
    const title = html`<title>${name}: ${formatNumber(value)}${unit === "" ? "" : ` ${unit}`}</title>`;
    const above = at - PLOT.top > 14 ? at - 4 : at + 13;
    return html`<path class="mark" d="M${PLOT.left} ${at}H${PLOT.right}">${title}</path><text class="over" x="${PLOT.right - 4}" y="${above}" text-anchor="end">${name}</text>`;
  });
}

function seriesHtml(series: Series, chart: Chart, x: Scale, y: Scale): Html {
  const finite = series.points.filter(([, value]) => Number.isFinite(value));
  const gone = series.points.filter(([, value]) => !Number.isFinite(value));
  const style = series.isEval ? "line eval" : "line";
  const name = series.isEval ? `${series.name}, held out` : series.name;
  const path = html`<path class="${style}" d="${pathOf(thin(series.points), x, y)}"/>`;
  const every = Math.max(1, Math.ceil(finite.length / MAX_TITLES));
  const titled = finite.filter((_, i) => i % every === 0 || i === finite.length - 1);
  const dots = titled.map(([step, value]) => {
    const [cx, cy] = [x.at(step), y.at(value)];
    const unit = chart.unit === "" ? "" : ` ${chart.unit}`;
    const title = html`<title>${name}, ${chart.xLabel} ${formatNumber(step)}: ${formatNumber(value)}${unit}</title>`;
    return html`<g>${dotHtml(series, finite.length, cx, cy)}<circle class="hit" cx="${cx}" cy="${cy}" r="8">${title}</circle></g>`;
  });
  const marks = gone.slice(0, MAX_TITLES).map(([step, value]) => {
    const title = html`<title>${name}, ${chart.xLabel} ${formatNumber(step)}: ${String(value)}</title>`;
    return html`<text class="gone" x="${x.at(step)}" y="${PLOT.bottom - 2}" text-anchor="middle">×${title}</text>`;
  });
  return html`<g class="c${series.colour}">${bandHtml(series.band ?? [], x, y)}${path}${dots}${marks}</g>`;
}

/** The area between the ends of the intervals; those that are not finite are left out. */
function bandHtml(band: NonNullable<Series["band"]>, x: Scale, y: Scale): Html {
  const finite = band.filter(([, low, high]) => Number.isFinite(low) && Number.isFinite(high));
  if (finite.length < 2) return html``;
  const edge = (at: readonly [number, number, number], value: number): string =>
    `${x.at(at[0])} ${y.at(value)}`;
  const over = finite.map((one) => edge(one, one[2]));
  const under = finite.toReversed().map((one) => edge(one, one[1]));
  return html`<path class="band" d="M${[...over, ...under].join("L")}Z"/>`;
}

function dotHtml(series: Series, count: number, cx: number, cy: number): Html {
  if (series.isEval && count <= 40) return html`<circle class="dot" cx="${cx}" cy="${cy}" r="3"/>`;
  return count <= 12 ? html`<circle class="dot full" cx="${cx}" cy="${cy}" r="2.5"/>` : html``;
}

/** A path that breaks where a value is not finite. */
function pathOf(points: Series["points"], x: Scale, y: Scale): string {
  let isDown = false;
  const parts: string[] = [];
  for (const [step, value] of points) {
    if (Number.isFinite(value)) parts.push(`${isDown ? "L" : "M"}${x.at(step)} ${y.at(value)}`);
    isDown = Number.isFinite(value);
  }
  return parts.join("");
}

/** Fewer points with the same look: of each bucket the least and the greatest, so that no spike is lost. */
function thin(points: Series["points"]): Series["points"] {
  if (points.length <= MAX_POINTS) return points;
  const size = Math.ceil((2 * points.length) / MAX_POINTS);
  const kept: (readonly [number, number])[] = [];
  for (let start = 0; start < points.length; start += size)
    kept.push(...extremes(points.slice(start, start + size)));
  return kept;
}

function extremes(bucket: Series["points"]): Series["points"] {
  const gap = bucket.find(([, value]) => !Number.isFinite(value));
  const byValue = bucket.filter(([, value]) => Number.isFinite(value)).toSorted((a, b) => a[1] - b[1]);
  const ends = byValue.length > 1 ? [byValue[0], byValue.at(-1)] : byValue;
  return [...ends, gap].filter((point) => point !== undefined).sort((a, b) => a[0] - b[0]);
}
