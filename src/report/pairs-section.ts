/** Pictures of one evaluation's pairs: how each moved since the start, and how likely rejected tokens are. */

import { formatNumber } from "../base/number-text.ts";
import type { RunConfig } from "../config/run-config.ts";
import type { EvaluationRecord } from "../runs/evaluation-records.ts";
import { chartWidth, figureHtml, type Scale, scaleOf } from "./axis.ts";
import { rejectedTokens } from "./histogram.ts";
import { type Html, html } from "./html.ts";

const HEIGHT = 300;
const PLOT = { left: 52, right: chartWidth - 12, top: 12, bottom: HEIGHT - 36 };

/** The figures that the evaluations of a run give; none without pairs. */
export function pairFigures(evaluations: readonly EvaluationRecord[], config: RunConfig): Html[] {
  const moved = evaluations.findLast(({ pair_changes: pairs }) => pairs.length > 0);
  const isStart = moved?.pair_changes.every(([chosen, rejected]) => chosen === 0 && rejected === 0) ?? true;
  const knee = config.method.objective === "slime" ? -config.method.delta : null;
  return [
    ...(moved === undefined || isStart ? [] : [quadrants(moved)]),
    ...rejectedTokens(evaluations, knee),
  ];
}

/** A point per pair: change of the chosen against change of the rejected answer; each axis has its scale. */
function quadrants({ global_step: step, pair_changes: pairs }: EvaluationRecord): Html {
  const [x, y] = [axis(pairs, 0, [PLOT.left, PLOT.right]), axis(pairs, 1, [PLOT.bottom, PLOT.top])];
  const corners = cornersOf(pairs);
  const words = corners.map(
    ({ label, at: [cx, cy, anchor] }) =>
      html`<text class="over" x="${cx}" y="${cy}" text-anchor="${anchor}">${label}</text>`,
  );
  const dots = pairs.map(([chosen, rejected]) => {
    const title = html`<title>chosen ${formatNumber(chosen)}, rejected ${formatNumber(rejected)} nats/token</title>`;
    return html`<circle class="point" cx="${x.at(chosen)}" cy="${y.at(rejected)}" r="3">${title}</circle>`;
  });
  const marks = [-1, 1].map(
    (
      sign,
    ) => html`<text x="${PLOT.left - 6}" y="${y.at(sign * y.reach) + 4}" text-anchor="end">${signed(sign * y.reach)}</text>
<text x="${x.at(sign * x.reach)}" y="${PLOT.bottom + 16}" text-anchor="middle">${signed(sign * x.reach)}</text>`,
  );
  const summary = corners.map(({ label }) => label).join(", ");
  const lines = html`<path class="zero" d="M${PLOT.left} ${y.at(0)}H${PLOT.right}"/><path class="zero" d="M${x.at(0)} ${PLOT.top}V${PLOT.bottom}"/>`;
  const names = html`<text x="${x.at(0)}" y="${HEIGHT - 4}" text-anchor="middle">change of the chosen answer</text>
<text x="12" y="${y.at(0)}" text-anchor="middle" transform="rotate(-90 12 ${y.at(0)})">change of the rejected answer</text>`;
  return figureHtml(
    {
      title: `Each pair at step ${step}`,
      unit: "nats/token since the start",
      note: `${pairs.length} held-out pairs. Right of the line the chosen answer gained, below it the rejected one lost. The axes have different scales.`,
      label: `How ${pairs.length} pairs moved: ${summary}`,
      height: HEIGHT,
    },
    [lines, ...marks, ...dots, ...words, names],
  );
}

type Pair = EvaluationRecord["pair_changes"][number];

/** What each quadrant holds, and where its words stand. */
function cornersOf(pairs: readonly Pair[]): { label: string; at: [number, number, string] }[] {
  const share = (test: (chosen: number, rejected: number) => boolean): string =>
    `${((100 * pairs.filter(([c, r]) => test(c, r)).length) / pairs.length).toFixed(0)} %`;
  const { left, right, top, bottom } = PLOT;
  return [
    { label: `both up ${share((c, r) => c > 0 && r > 0)}`, at: [right - 4, top + 12, "end"] },
    { label: `both down ${share((c, r) => c < 0 && r < 0)}`, at: [left + 4, bottom - 6, "start"] },
    { label: `only chosen up ${share((c, r) => c > 0 && r <= 0)}`, at: [right - 4, bottom - 6, "end"] },
    { label: `only chosen down ${share((c, r) => c < 0 && r >= 0)}`, at: [left + 4, top + 12, "start"] },
  ];
}

/** The scale of one side of the pairs, 0 in its middle. `reach` is a round number of two digits. */
function axis(
  pairs: readonly Pair[],
  side: 0 | 1,
  range: readonly [number, number],
): Scale & { reach: number } {
  const most = Math.max(...pairs.map((pair) => Math.abs(pair[side])), 1e-3);
  const unit = 10 ** (Math.floor(Math.log10(most)) - 1);
  const reach = Number((Math.ceil(most / unit) * unit).toPrecision(2));
  const end = 1.06 * reach;
  return { reach, ...scaleOf({ min: -end, max: end, ticks: [-reach, reach] }, range) };
}

function signed(value: number): string {
  return formatNumber(value).replace("-", "−");
}
