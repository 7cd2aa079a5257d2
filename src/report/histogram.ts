/** How likely rejected tokens are, as a histogram: at the first evaluation and at the last. */

import { formatNumber } from "../base/number-text.ts";
import type { EvaluationRecord, LogProbHistogram } from "../runs/evaluation-records.ts";
import { chartWidth, figureHtml, round } from "./axis.ts";
import { type Html, html } from "./html.ts";
import { legend } from "./line-chart.ts";

const HEIGHT = 236;
const PLOT = { left: 58, right: chartWidth - 12, top: 10, bottom: HEIGHT - 36 };

/** Shares below this are drawn on the bottom line. */
const leastShare = 1e-4;

/**
 * The histogram, shares on a logarithmic scale: most tokens lie near 0, and those far out are what matters.
 *
 * @param knee - where SLIME's stabiliser begins to hold tokens back (−delta, nats), or null for other objectives
 */
export function rejectedTokens(evaluations: readonly EvaluationRecord[], knee: number | null): Html[] {
  const held = evaluations.flatMap(({ global_step: step, rejected_logps: logps }) =>
    logps === null ? [] : [{ step, logps }],
  );
  const [first] = held;
  const last = held.at(-1);
  if (first === undefined || last === undefined) return [];
  const shown = first === last ? [first] : [first, last];
  const bins = Math.max(...shown.map(({ logps }) => logps.counts.findLastIndex((count) => count > 0))) + 1;
  const { width, counts } = last.logps;
  const reach = bins * width;
  const x = (logp: number): number => round(PLOT.right + (logp / reach) * (PLOT.right - PLOT.left));
  const names = shown.map(({ step }, i) => ({ name: `step ${step}`, colour: i + 1, isEval: false }));
  const lines = shown.map(
    ({ logps }, i) => html`<path class="line c${i + 1}" d="${outline(logps, bins, x)}"/>`,
  );
  const end =
    bins === counts.length ? ` The leftmost bin holds all below −${formatNumber(reach - width)}.` : "";
  const heldBack = knee === null ? "" : " The stabiliser holds back the tokens in the shaded part.";
  const name = html`<text x="${(PLOT.left + PLOT.right) / 2}" y="${HEIGHT - 4}" text-anchor="middle">log-probability, nats</text>`;
  const figure = figureHtml(
    {
      title: "Log-probability of rejected tokens",
      unit: "fraction of tokens",
      note: `Held-out rows, in bins of ${formatNumber(width)} nats; logarithmic scale.${end}${heldBack}`,
      legend: legend(names),
      label: summary(shown),
      height: HEIGHT,
    },
    [kneeHtml(knee, reach, x), ...shareAxis(), ...logpAxis(reach, x), ...lines, name],
  );
  return [figure];
}

/** The upper edge of the bins, from the least likely tokens to those of log-probability 0. */
function outline({ width, counts }: LogProbHistogram, bins: number, x: (logp: number) => number): string {
  const total = counts.reduce((a, b) => a + b, 0);
  const parts = Array.from({ length: bins }, (_, i) => {
    const bin = bins - 1 - i;
    const y = heightOf((counts[bin] ?? 0) / total);
    return `${i === 0 ? "M" : "L"}${x(-(bin + 1) * width)} ${y}H${x(-bin * width)}`;
  });
  return parts.join("");
}

function heightOf(share: number): number {
  const depth = Math.log10(Math.max(share, leastShare)) / Math.log10(leastShare);
  return round(PLOT.top + depth * (PLOT.bottom - PLOT.top));
}

function shareAxis(): Html[] {
  return [1, 0.1, 0.01, 0.001, leastShare].map((share) => {
    const y = heightOf(share);
    const label = `${share === leastShare ? "≤ " : ""}${Number((100 * share).toPrecision(1))} %`;
    return html`<path class="grid" d="M${PLOT.left} ${y}H${PLOT.right}"/><text x="${PLOT.left - 6}" y="${y + 4}" text-anchor="end">${label}</text>`;
  });
}

function logpAxis(reach: number, x: (logp: number) => number): Html[] {
  const step = [0.5, 1, 2, 5].find((size) => reach / size <= 8) ?? 5;
  return Array.from({ length: Math.floor(reach / step) + 1 }, (_, i) => {
    const label = i === 0 ? "0" : `−${formatNumber(i * step)}`;
    return html`<text x="${x(-i * step)}" y="${PLOT.bottom + 16}" text-anchor="middle">${label}</text>`;
  });
}

/** The part where the stabiliser holds tokens back, and its edge. */
function kneeHtml(knee: number | null, reach: number, x: (logp: number) => number): Html {
  if (knee === null || -knee > reach) return html``;
  const at = x(knee);
  const [place, anchor] = at - PLOT.left > 130 ? [at - 5, "end"] : [at + 5, "start"];
  return html`<rect class="held" x="${PLOT.left}" y="${PLOT.top}" width="${round(at - PLOT.left)}" height="${PLOT.bottom - PLOT.top}"/>
<path class="mark" d="M${at} ${PLOT.top}V${PLOT.bottom}"/>
<text class="over" x="${place}" y="${PLOT.top + 14}" text-anchor="${anchor}">knee −δ = ${formatNumber(knee).replace("-", "−")}</text>`;
}

/** Where the middle of the tokens lies, in words. */
function summary(shown: readonly { step: number; logps: LogProbHistogram }[]): string {
  const parts = shown.map(({ step, logps: { counts, width } }) => {
    const total = counts.reduce((a, b) => a + b, 0);
    return `at step ${step} ${Math.round((100 * (counts[0] ?? 0)) / total)} % above −${formatNumber(width)}`;
  });
  return `Log-probabilities of rejected tokens: ${parts.join(", ")}`;
}
