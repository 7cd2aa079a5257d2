/** A chart of conditions by two figures, each with its interval both ways where it has one. Points carry the number that the table beside them has. */
import { at } from "../base/at.ts";
import type { Estimate } from "../stats/crossed-bootstrap.ts";
import { axisOver, chartWidth, figureHtml, type Scale, scaleOf, tickTexts } from "./axis.ts";
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
  /** Joined with the next such point, in their order. */
  isJoined?: boolean;
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
  /** All points are joined in their order. A chart with joined points has the usual width. */
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
  const [xTexts, yTexts] = [tickTexts(x.ticks), tickTexts(y.ticks)];
  const columns = x.ticks.map(
    (tick, i) =>
      html`<path class="${tick === 0 ? "zero" : "grid"}" d="M${x.at(tick)} ${plot.top}V${plot.bottom}"/><text x="${x.at(tick)}" y="${plot.bottom + 15}" text-anchor="middle">${xTexts[i] ?? ""}</text>`,
  );
  const rows = y.ticks.map(
    (tick, i) =>
      html`<path class="${tick === 0 ? "zero" : "grid"}" d="M${plot.left} ${y.at(tick)}H${plot.right}"/><text x="${plot.left - 6}" y="${y.at(tick) + 4}" text-anchor="end">${yTexts[i] ?? ""}</text>`,
  );
  const placed = shown.map((point) => ({ point, cx: x.at(point.x.value), cy: y.at(point.y.value) }));
  const places = markPlaces(placed.map(({ point, cx, cy }) => ({ cx, cy, length: point.mark.length })));
  const dots = placed.map(({ point }, i) => pointHtml(point, at(places, i), { x, y }));
  const joined = placed.filter(({ point }) => isPath || point.isJoined === true);
  const d = joined.map(({ cx, cy }) => `${cx} ${cy}`).join("L");
  const path = joined.length > 0 ? [html`<g class="c6"><path class="line whisker" d="M${d}"/></g>`] : [];
  const [middleX, middleY] = [(plot.left + plot.right) / 2, (plot.top + plot.bottom) / 2];
  const names = html`<text x="${middleX}" y="${height - 6}" text-anchor="middle">${xLabel}</text>
<text x="12" y="${middleY}" text-anchor="middle" transform="rotate(-90 12 ${middleY})">${yLabel}</text>`;
  const label = `${title}: ${shown.length} points`;
  return figureHtml({ title, note, label, height, isLarge: joined.length === 0 }, [
    ...columns,
    ...rows,
    ...path,
    ...dots,
    names,
  ]);
}

/** Where a mark stands beside its point, the first choice first. */
const nextToPoint = [
  { dx: 6, dy: -5, anchor: "start" },
  { dx: 6, dy: 13, anchor: "start" },
  { dx: -6, dy: -5, anchor: "end" },
  { dx: -6, dy: 13, anchor: "end" },
] as const;

type MarkPlace = (typeof nextToPoint)[number];

interface Box {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

const meets = (a: Box, b: Box): boolean =>
  a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;

/** A place for each mark at which it covers no point and no mark before it; the first one where there is none. */
function markPlaces(points: readonly { cx: number; cy: number; length: number }[]): MarkPlace[] {
  const taken: Box[] = points.map(({ cx, cy }) => boxAt(cx - 4, cx + 4, cy + 4, 8));
  return points.map(({ cx, cy, length }) => {
    const boxOf = ({ dx, dy, anchor }: MarkPlace): Box => {
      const [start, width] = [cx + dx, 7 * length];
      return anchor === "start"
        ? boxAt(start, start + width, cy + dy, 10)
        : boxAt(start - width, start, cy + dy, 10);
    };
    const free =
      nextToPoint.find((place) => !taken.some((box) => meets(box, boxOf(place)))) ?? nextToPoint[0];
    taken.push(boxOf(free));
    return free;
  });
}

function boxAt(left: number, right: number, bottom: number, height: number): Box {
  return { left, right, top: bottom - height, bottom };
}

function pointHtml(
  point: ScatterPoint,
  { dx, dy, anchor }: MarkPlace,
  { x, y }: { x: Scale; y: Scale },
): Html {
  const [cx, cy] = [x.at(point.x.value), y.at(point.y.value)];
  const hasEnds = [point.x, point.y].every(({ low, high }) => Number.isFinite(low) && Number.isFinite(high));
  const whiskers = hasEnds
    ? html`<path class="line whisker" d="M${x.at(point.x.low)} ${cy}H${x.at(point.x.high)}M${cx} ${y.at(point.y.low)}V${y.at(point.y.high)}"/>`
    : html``;
  const title = html`<title>${point.name}: ${intervalText(point.x)}; ${intervalText(point.y)}</title>`;
  return html`<g class="c${point.colour}">${whiskers}<circle class="dot full" cx="${cx}" cy="${cy}" r="3.5"/><text class="over" x="${cx + dx}" y="${cy + dy}" text-anchor="${anchor}">${point.mark}</text><circle class="hit" cx="${cx}" cy="${cy}" r="10">${title}</circle></g>`;
}

function scale(intervals: readonly Interval[], range: readonly [number, number]): Scale {
  return scaleOf(axisOver(intervals.flatMap(({ low, high, value }) => [low, high, value])), range);
}
