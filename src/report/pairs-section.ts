/** Pictures of one evaluation's pairs: how each moved since the start, and how likely rejected tokens are. */
import { formatNumber } from "../base/number-text.ts";
import type { RunConfig } from "../config/run-config.ts";
import type { EvaluationRecord } from "../runs/evaluation-records.ts";
import { axisOver, chartWidth, figureHtml, type Scale, scaleOf, tickText } from "./axis.ts";
import { rejectedTokens } from "./histogram.ts";
import { type Html, html, tableHtml } from "./html.ts";
import type { ShortenPaths } from "./shared-text.ts";

const HEIGHT = 236;
const PLOT = { left: 62, right: chartWidth - 12, top: 10, bottom: HEIGHT - 36 };

/** The figures that the evaluations of a run give; none without pairs. */
export function pairFigures(
  evaluations: readonly EvaluationRecord[],
  config: RunConfig,
  shorten: ShortenPaths,
): Html[] {
  const moved = evaluations.findLast(({ pair_changes: pairs }) => pairs.length > 0);
  const isStart = moved?.pair_changes.every(([chosen, rejected]) => chosen === 0 && rejected === 0) ?? true;
  return [
    ...(moved === undefined || isStart ? [] : [quadrantsHtml(moved, shorten)]),
    ...rejectedTokens(evaluations, kneeOf(config)),
  ];
}

/** Where SLIME's stabiliser begins to hold rejected tokens back, nats; null for other objectives. */
export function kneeOf({ method }: Pick<RunConfig, "method">): number | null {
  return method.objective === "slime" ? -method.delta : null;
}

/** A point per pair: change of the chosen against change of the rejected answer. The axes reach as far as most pairs. */
export function quadrantsHtml(record: EvaluationRecord, shorten: ShortenPaths): Html {
  const { global_step: step, pair_changes: pairs, pair_rows: places = [] } = record;
  const placed = pairs.filter(isPlaced);
  const [x, y] = [axis(placed, 0, [PLOT.left, PLOT.right]), axis(placed, 1, [PLOT.bottom, PLOT.top])];
  const corners = cornersOf(pairs);
  const isBeyond = ([chosen, rejected]: Pair): boolean =>
    chosen < x.min || chosen > x.max || rejected < y.min || rejected > y.max;
  const beyond = placed.filter(isBeyond).length;
  const dots = pairs.map((pair, i) => {
    if (!isPlaced(pair)) return html``;
    const row = places[i]?.[0];
    const place = row === undefined ? "" : `${shorten(row)}: `;
    const title = html`<title>${place}chosen ${signed(pair[0])}, rejected ${signed(pair[1])} nats/token</title>`;
    const style = isBeyond(pair) ? "point beyond" : "point";
    return html`<circle class="${style}" data-pair="${i}" cx="${x.at(pair[0])}" cy="${y.at(pair[1])}" r="3">${title}</circle>`;
  });
  const columns = x.ticks.map(
    (tick) =>
      html`<path class="${tick === 0 ? "zero" : "grid"}" d="M${x.at(tick)} ${PLOT.top}V${PLOT.bottom}"/><text x="${x.at(tick)}" y="${PLOT.bottom + 16}" text-anchor="middle">${tickText(tick)}</text>`,
  );
  const rows = y.ticks.map(
    (tick) =>
      html`<path class="${tick === 0 ? "zero" : "grid"}" d="M${PLOT.left} ${y.at(tick)}H${PLOT.right}"/><text x="${PLOT.left - 6}" y="${y.at(tick) + 4}" text-anchor="end">${tickText(tick)}</text>`,
  );
  const [middleX, middleY] = [(PLOT.left + PLOT.right) / 2, (PLOT.top + PLOT.bottom) / 2];
  const names = html`<text x="${middleX}" y="${HEIGHT - 4}" text-anchor="middle">change of the chosen answer</text>
<text x="12" y="${middleY}" text-anchor="middle" transform="rotate(-90 12 ${middleY})">change of the rejected answer</text>`;
  const summary = corners.join(", ");
  const gone = pairs.length - placed.length;
  const atEdge = beyond === 0 ? "" : ` ${beyond} beyond the axes stand at the edge, as rings.`;
  const notDrawn = gone === 0 ? "" : ` Not drawn, as they moved by NaN or infinity: ${gone}.`;
  return figureHtml(
    {
      title: `Each pair at step ${step}`,
      unit: "nats/token since the start",
      note: `${pairs.length} held-out pairs: ${summary}. Each dot says which row it is.${atEdge}${notDrawn}`,
      label: `How ${pairs.length} pairs moved: ${summary}`,
      height: HEIGHT,
    },
    [...columns, ...rows, ...dots, names],
  );
}

type Pair = EvaluationRecord["pair_changes"][number];

/** Of a model that diverged a change may be no number, which has no place in the picture. */
function isPlaced(pair: Pair): boolean {
  return pair.every(Number.isFinite);
}

/** What each quadrant holds. */
function cornersOf(pairs: readonly Pair[]): string[] {
  const share = (test: (chosen: number, rejected: number) => boolean): string =>
    `${((100 * pairs.filter(([c, r]) => test(c, r)).length) / pairs.length).toFixed(0)} %`;
  return [
    `only chosen up ${share((c, r) => c > 0 && r <= 0)}`,
    `both up ${share((c, r) => c > 0 && r > 0)}`,
    `both down ${share((c, r) => c < 0 && r < 0)}`,
    `only chosen down ${share((c, r) => c < 0 && r >= 0)}`,
  ];
}

/** The scale of one side of the pairs: 0 and 96 of 100 of them, with half as much again on both sides where there are more. */
function axis(pairs: readonly Pair[], side: 0 | 1, range: readonly [number, number]): Scale {
  const values = pairs.map((pair) => pair[side]).sort((a, b) => a - b);
  const quantile = (share: number): number => values[Math.round(share * (values.length - 1))] ?? 0;
  const [low, high] = [quantile(0.02), quantile(0.98)];
  const room = 0.5 * (high - low);
  const from = Math.max(quantile(0), low - room);
  const to = Math.min(quantile(1), high + room);
  return scaleOf(axisOver([from, to, 0]), range);
}

function signed(value: number): string {
  return `${value > 0 ? "+" : ""}${formatNumber(value)}`.replace("-", "−");
}

/** Pairs that are named beside the picture. */
const namedPairs = 6;

/** The pairs whose chosen answer fell most, with their rows; nothing where none fell or rows are not known. */
export function fallenPairs(evaluations: readonly EvaluationRecord[], shorten: ShortenPaths): Html {
  const record = evaluations.findLast(({ pair_changes: pairs }) => pairs.length > 0);
  if (record?.pair_rows === undefined) return html``;
  const named = record.pair_changes.map((pair, i) => ({ pair, row: record.pair_rows?.[i]?.[0] ?? "" }));
  const fallen = named.filter(({ pair: [chosen] }) => chosen < 0).sort((a, b) => a.pair[0] - b.pair[0]);
  if (fallen.length === 0) return html``;
  const rows = fallen.slice(0, namedPairs).map(({ pair, row }) => [shorten(row), ...pair.map(signed)]);
  return html`<details><summary>Chosen answers that fell most</summary>${tableHtml({ columns: ["row", "chosen, nats/token", "rejected, nats/token"], rows })}</details>`;
}
