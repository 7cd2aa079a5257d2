/** What a run's model does at each scale between its start and its result: pictures, a row of scales to step through, a table. Answers are a model's: hostile. */
import { formatNumber } from "../base/number-text.ts";
import type { ScaleChoice, ScaleEstimate, ScaleRecord, ScaleRow } from "../runs/scale-record.ts";
import { type Html, html, shownText, tableHtml, tileHtml } from "./html.ts";
import { chartHtml, type Series } from "./line-chart.ts";
import { scatterChartHtml } from "./scatter-chart.ts";
import { percent, signed } from "./signed.ts";

/** Characters of a text that are shown. */
const longestText = 600;

const chosen = "logps/chosen_delta_init";
const rejected = "logps/rejected_delta_init";
const drift = "displacement/token_change_mean_abs";
const tail = "displacement/token_change_p01";

/** Columns of the table: heading, figure, how it is written. */
export const SCALE_COLUMNS: readonly [
  string,
  (row: ScaleRow) => number | undefined,
  (value: number) => string,
][] = [
  ["chosen", ({ figures }) => figures[chosen], signed],
  ["rejected", ({ figures }) => figures[rejected], signed],
  ["margin", marginOf, signed],
  ["accuracy", ({ figures }) => figures["logps/accuracies"], percent],
  ["chosen down", ({ figures }) => figures["displacement/frac_chosen_down"], percent],
  ["drift", ({ figures }) => figures[drift], formatNumber],
  ["tail", ({ figures }) => figures[tail], signed],
  ["other text", ({ figures }) => figures["displacement/other_text_change"], signed],
];

/** The section; nothing where nothing was measured. */
export function scalesSection(record: ScaleRecord | null, lengthBaseline: string): Html {
  if (record === null) return html``;
  const { rows, pairs, choice, other_text: other } = record;
  const line = (name: string, colour: number, value: (row: ScaleRow) => number | undefined): Series => ({
    name,
    colour,
    points: rows.map((row) => [row.scale, value(row) ?? Number.NaN]),
    isEval: false,
  });
  const chart = (title: string, unit: string, series: Series[]): Html =>
    chartHtml({ title, unit, xLabel: "scale", isOverValues: true, series });
  const charts = [
    tradeChart(rows),
    // alone: beside the margin, which may be a hundred times as far, it would be a flat line
    chart("Chosen answers at each scale", "nats/token", [
      line("chosen", 1, ({ figures }) => figures[chosen]),
    ]),
    chart("Damage at each scale", "nats", [
      line("drift", 1, ({ figures }) => figures[drift]),
      line("tail", 2, ({ figures }) => figures[tail]),
    ]),
  ];
  const cells = rows.map((row) => [
    row.scale,
    ...SCALE_COLUMNS.map(([, value, show]) => shown(value(row), show)),
  ]);
  const table = tableHtml({ columns: ["scale", ...SCALE_COLUMNS.map(([name]) => name)], rows: cells });
  const chosenHtml = choice === null ? html`` : html`<p>${choiceText(choice)}</p>`;
  const text = `${pairs} held-out pairs, changes since the start in nats per token; drift and tail in nats. ${lengthBaseline}${other === null ? "" : ` Other text: ${other}.`}`;
  return html`<section><h2>How much of it to take?</h2>${chosenHtml}<div class="charts">${charts}</div><p class="soft">${text}</p>${stepper(record)}${table}</section>`;
}

/** Likelihood against margin, the scales joined in their order: what is paid for what. */
function tradeChart(rows: readonly ScaleRow[]): Html {
  const bare = (value = Number.NaN): ScaleEstimate => ({ value, low: Number.NaN, high: Number.NaN });
  const points = rows.map((row) => ({
    name: `scale ${row.scale}`,
    mark: `${row.scale}`,
    colour: 1,
    x: bare(row.figures[chosen]),
    y: bare(marginOf(row)),
  }));
  return scatterChartHtml({
    title: "Margin against likelihood, by scale",
    xLabel: "change of chosen, nats/token",
    yLabel: "change of the margin, nats/token",
    points,
    note: "Each point is a scale. Where the line turns down or to the left, more of the training costs more than it gives.",
    isPath: true,
  });
}

/** A row of scales to step through, by pointer or arrow keys, without script: the one that is picked shows its figures and answers. */
function stepper({ rows, choice }: ScaleRecord): Html {
  const shownFirst = choice?.scale ?? 1;
  const first = rows.some(({ scale }) => scale === shownFirst) ? shownFirst : rows.at(-1)?.scale;
  const steps = rows.map((row, i) => {
    const checked = row.scale === first ? html` checked` : html``;
    const tiles = SCALE_COLUMNS.map(([name, value, show]) => tileHtml(shown(value(row), show), name));
    return html`<input type="radio" name="scale" id="scale-${i}"${checked}><label for="scale-${i}">${row.scale}</label><div class="at-scale"><div class="tiles">${tiles}</div>${answersHtml(row)}</div>`;
  });
  return html`<fieldset class="scales"><legend>At scale</legend>${steps}</fieldset>`;
}

function marginOf({ figures }: ScaleRow): number | undefined {
  const [up, down] = [figures[chosen], figures[rejected]];
  return up === undefined || down === undefined ? undefined : up - down;
}

function shown(value: number | undefined, show: (value: number) => string): string {
  return value === undefined ? "–" : show(value);
}

/** What the rule picked, in sentences. */
export function choiceText(choice: ScaleChoice): string {
  const { scale, best, allowed, isUndecided, choosing, reporting, prompts, figures } = choice;
  const only = allowed.length === 1 ? ", the only one that meets the bounds" : "";
  const pairs = `${choosing} pairs${promptsText(prompts?.choosing)}`;
  const how = isUndecided
    ? `No scale can be preferred to the smallest: on ${pairs} none that meets the bounds is better beyond chance, and ${scale} is kept.`
    : best === scale
      ? `Chosen on ${pairs}: scale ${scale}${only}.`
      : `Chosen on ${pairs}: scale ${scale}, the smallest that no other is better than beyond chance; the most in the mean has ${best}.`;
  return `${how} On the other ${reporting} pairs${promptsText(prompts?.reporting)}, 95 % intervals: ${figuresText(figures)}.${boundsText(choice)}`;
}

/** Intervals are over prompts: where several pairs have one, their number is not the pairs'. */
function promptsText(prompts: number | undefined): string {
  return prompts === undefined ? "" : ` of ${prompts} prompts`;
}

function figuresText({ chosen: up, margin, accuracy, ...damage }: ScaleChoice["figures"]): string {
  const interval = ({ value, low, high }: ScaleEstimate, show: (value: number) => string): string =>
    `${show(value)} [${show(low)}, ${show(high)}]`;
  const { drift: moved, drift_interval: range, tail: worst } = damage;
  const drifted =
    range === undefined ? formatNumber(moved) : interval({ value: moved, ...range }, formatNumber);
  return `chosen ${interval(up, signed)}, margin ${interval(margin, signed)}, accuracy ${interval(accuracy, percent)}, drift ${drifted}, and without an interval tail ${signed(worst)}`;
}

/** Whether each bound holds on the pairs that chose nothing. */
function boundsText({ bounds = [] }: ScaleChoice): string {
  if (bounds.length === 0) return "";
  const each = bounds.map(({ name, bound, held }) => `${name} ${bound} ${held ? "holds" : "is missed"}`);
  return ` Of the bounds there: ${each.join(", ")}.`;
}

function answersHtml({ answers }: ScaleRow): Html {
  const said = answers.map(
    ({ prompt, answer }) =>
      html`<div class="answer" tabindex="0"><b>${shownText(prompt, longestText)}</b></div><div class="answer" tabindex="0">${shownText(answer, longestText)}</div>`,
  );
  return html`${said}`;
}
