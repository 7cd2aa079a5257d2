/** The results of a grid: two tables as JSON lines, one HTML report, and a summary for the terminal. */
import { join } from "node:path";
import { writeFileAtomic } from "../base/files.ts";
import { stringifyNumbers } from "../base/json-numbers.ts";
import { type Html, html, pageHtml, type ReportTable, tableHtml } from "../report/html.ts";
import { type IntervalChart, intervalChartHtml } from "../report/interval-chart.ts";
import { chartHtml } from "../report/line-chart.ts";
import { scatterChartHtml } from "../report/scatter-chart.ts";
import type { Estimate } from "../stats/crossed-bootstrap.ts";
import { textTable } from "../terminal/text-table.ts";
import { countText, intervalText } from "./interval-text.ts";
import { lackSections } from "./lacks.ts";
import { type ConditionPair, comparisonsOf, type MeasuredCondition } from "./measured.ts";
import type { Condition, Measured, ReportSection, ResultRow } from "./section.ts";
import { reasonLine, type Trial, type TrialOutcome } from "./trial.ts";
import {
  estimate,
  estimateDifference,
  lengthAccuracy,
  meanOfRun,
  TRIAL_METRICS,
  type TrialMetricName,
} from "./trial-metrics.ts";

/** What a report is about. */
export interface OutcomeText {
  title: string;
  question: string;
  /** What was trained on what, or how to read the results. */
  note: string;
  /** The command that makes it again. */
  command: string;
}

/** What is reported. */
export interface OutcomeParts {
  dir: string;
  text: OutcomeText;
  outcomes: readonly TrialOutcome[];
  conditions: readonly Condition[];
  measured: Measured;
  metrics: readonly TrialMetricName[];
  referenceOf(condition: string): string | null;
  /** What conditions have to share to stand in one table and on one axis; without it all do. */
  groupOf?(condition: string): string;
  sections: readonly ReportSection[];
}

/** Where the outcome is written, and what the terminal shows of it. */
export interface WrittenOutcome {
  report: string;
  results: string;
  runs: string;
  summary: string;
  /** Runs that came to their end. */
  finished: number;
}

/** Metrics that fit beside each other in a terminal. */
const metricsInTerminal = 4;

/** Writes tables and report into the grid's folder. */
export function writeOutcome(given: OutcomeParts): WrittenOutcome {
  const parts = { ...given, sections: [...given.sections, ...lackSections(given.measured, given.metrics)] };
  const { dir, measured, outcomes } = parts;
  const main = mainRows(parts);
  const differences = differenceRows(parts);
  const others = parts.sections.flatMap(({ rows = [] }) => rows);
  const results = join(dir, "results.jsonl");
  writeFileAtomic(results, lines([...main, ...differences, ...others].map(resultLine)));
  const runs = join(dir, "runs.jsonl");
  writeFileAtomic(runs, lines(outcomes.map((outcome) => runLine(outcome, parts))));
  const report = join(dir, "report.html");
  writeFileAtomic(report, reportHtml(parts));
  const failed = [...measured.values()].flatMap((condition) =>
    condition.failed.map(
      ({ seed, reason }) => `Failed: ${condition.name}, seed ${seed}: ${reasonLine(reason)}`,
    ),
  );
  const sentences = parts.sections.flatMap((section) => section.sentences ?? []);
  const table = terminalTable(parts);
  const summary = [table, ...(failed.length > 0 ? [failed.join("\n")] : []), ...sentences].join("\n\n");
  return {
    report,
    results,
    runs,
    summary,
    finished: outcomes.filter(({ reason }) => reason === null).length,
  };
}

function lines(rows: readonly unknown[]): string {
  return rows.map((row) => `${stringifyNumbers(row)}\n`).join("");
}

/** The conditions that the tables show. */
function shownOf({ measured, conditions }: OutcomeParts): MeasuredCondition[] {
  const hidden = new Set(conditions.filter(({ isHidden }) => isHidden === true).map(({ name }) => name));
  return [...measured.values()].filter(({ name }) => !hidden.has(name));
}

function mainRows(parts: OutcomeParts): ResultRow[] {
  const { measured, metrics } = parts;
  return [...measured.values()].flatMap((condition) =>
    metrics.map((metric) => ({
      condition: condition.name,
      metric,
      unit: TRIAL_METRICS[metric].unit,
      interval: estimate(condition, metric),
    })),
  );
}

function compared(parts: OutcomeParts): ConditionPair[] {
  return comparisonsOf(shownOf(parts), parts.measured, parts.referenceOf);
}

function differenceRows(parts: OutcomeParts): ResultRow[] {
  return compared(parts).flatMap(({ condition, base }) =>
    parts.metrics.map((metric) => ({
      condition: condition.name,
      minus: base.name,
      metric,
      unit: TRIAL_METRICS[metric].unit,
      interval: estimateDifference(condition, base, metric),
    })),
  );
}

function resultLine({ interval, ...row }: ResultRow): unknown {
  return { ...row, ...interval };
}

/** One run: what it was and, where it came to its end, the mean of each metric over its pairs. */
function runLine({ trial, reason }: TrialOutcome, { measured, metrics }: OutcomeParts): unknown {
  const { id, condition, seed, changes } = trial;
  const known = { id, condition, seed, changes };
  if (reason !== null) return { ...known, status: "failed", reason };
  const run = measured.get(condition)?.runs.find(({ trial: own }) => own.id === id);
  const values = metrics.map((metric) => [metric, run === undefined ? Number.NaN : meanOfRun(run, metric)]);
  return { ...known, status: "done", ...Object.fromEntries(values) };
}

function terminalTable(parts: OutcomeParts): string {
  const shown = parts.metrics.slice(0, metricsInTerminal);
  const headings = shown.map((metric) => TRIAL_METRICS[metric].title.replace(/ (?=\S+$)/, "\n"));
  const rows = shownOf(parts).map((condition) => [
    condition.name,
    ...shown.map((metric) => intervalText(estimate(condition, metric), TRIAL_METRICS[metric].unit)),
    counted(condition, parts.metrics[0]),
  ]);
  return textTable(["", ...headings, "seeds\n× pairs"], rows);
}

function counted(condition: MeasuredCondition, metric: TrialMetricName | undefined): string {
  return metric === undefined || condition.runs.length === 0 ? "–" : countText(estimate(condition, metric));
}

function reportHtml(parts: OutcomeParts): string {
  const { text, outcomes, sections, measured } = parts;
  const failed = outcomes.filter(({ reason }) => reason !== null);
  const first = [...measured.values()].flatMap(({ runs }) => runs).find(({ after }) => after.length > 0);
  return pageHtml(`${text.title} · preftune`, [
    html`<h1>${text.title}</h1><p class="soft">${text.question}</p><p>${text.note} ${outcomes.length} runs.</p>`,
    failedNote(failed),
    html`<section><h2>Held-out pairs, after training</h2><p>${howToRead(first === undefined ? null : lengthAccuracy(first))}</p>
${grouped(shownOf(parts), parts).map((group) => tableHtml(mainTable(group, parts)))}</section>`,
    differenceHtml(parts),
    ...grouped(shownOf(parts), parts).map((group) => metricsHtml(group, parts)),
    ...sections.map(sectionHtml),
    runsHtml(outcomes),
    html`<section><h2>Again</h2><p><code>${text.command}</code></p><p>Each run repeats with <code>preftune train runs/NAME/config.yaml --output_dir ELSEWHERE</code>.</p></section>`,
    html`<footer>Made by preftune from the runs in this folder. The numbers stand in results.jsonl and runs.jsonl.</footer>`,
  ]);
}

function howToRead(length: Estimate | null): string {
  const baseline =
    length === null
      ? ""
      : ` "The longer answer is the better one" is right in ${intervalText(length, "share")} of the pairs.`;
  return (
    "In brackets: 95 % bootstrap intervals (BCa) over training seeds and held-out pairs, drawn independently, pairs of one prompt together. They say nothing of other " +
    `data and models; where seeds differ much and are fewer than about five, they are too narrow (docs/studies.md).${baseline}`
  );
}

function failedNote(failed: readonly TrialOutcome[]): Html {
  if (failed.length === 0) return html``;
  const items = failed.map(
    ({ trial, reason }) => html`<li>${trial.condition}, seed ${trial.seed}: ${reason ?? ""}</li>`,
  );
  return html`<div class="note bad"><b>${failed.length} runs failed.</b> The metrics are of the others.<ul>${items}</ul></div>`;
}

/** Conditions by group, in their order. */
function grouped(
  conditions: readonly MeasuredCondition[],
  { groupOf = () => "" }: OutcomeParts,
): MeasuredCondition[][] {
  return [...Map.groupBy(conditions, ({ name }) => groupOf(name)).values()];
}

function mainTable(group: readonly MeasuredCondition[], { metrics }: OutcomeParts): ReportTable {
  return {
    columns: ["", ...metrics.map((metric) => TRIAL_METRICS[metric].title), "seeds × pairs"],
    rows: group.map((condition) => [
      condition.name,
      ...metrics.map((metric) => intervalText(estimate(condition, metric), TRIAL_METRICS[metric].unit)),
      counted(condition, metrics[0]),
    ]),
  };
}

function differenceHtml(parts: OutcomeParts): Html {
  const tables = grouped(shownOf(parts), parts)
    .map((group) => comparisonsOf(group, parts.measured, parts.referenceOf))
    .filter((pairs) => pairs.length > 0)
    .map((pairs) => differenceTable(pairs, parts));
  if (tables.length === 0) return html``;
  return html`<section><h2>Differences</h2><p>Pair by pair, over the seeds that both have: what the pairs share drops out, so these intervals are the ones to compare by.</p>${tables.map(tableHtml)}</section>`;
}

/** The one that all are compared with stands over their names. */
function differenceTable(pairs: readonly ConditionPair[], { metrics }: OutcomeParts): ReportTable {
  const bases = new Set(pairs.map(({ base }) => base.name));
  const rows = pairs.map(({ condition, base }) => [
    bases.size === 1 ? condition.name : `${condition.name} − ${base.name}`,
    ...metrics.map((metric) =>
      intervalText(estimateDifference(condition, base, metric), TRIAL_METRICS[metric].unit, {
        isSigned: true,
      }),
    ),
  ]);
  const heading = bases.size === 1 ? `less ${[...bases][0]}` : "";
  return { columns: [heading, ...metrics.map((metric) => TRIAL_METRICS[metric].title)], rows };
}

function metricsHtml(group: readonly MeasuredCondition[], { groupOf, metrics }: OutcomeParts): Html {
  const name = group[0] === undefined ? undefined : groupOf?.(group[0].name);
  const charts = metrics.map(
    (metric): IntervalChart => ({
      title: TRIAL_METRICS[metric].title,
      unit: TRIAL_METRICS[metric].unit,
      rows: group.map((condition) => ({ name: condition.name, interval: estimate(condition, metric) })),
    }),
  );
  return html`<section><h2>Metrics${name === undefined ? "" : `: ${name}`}</h2><div class="charts">${charts.map(intervalChartHtml)}</div></section>`;
}

function sectionHtml({
  title,
  note,
  tables = [],
  curves = [],
  intervals = [],
  scatters = [],
  sentences = [],
}: ReportSection): Html {
  const charts = [
    ...curves.map(chartHtml),
    ...intervals.map(intervalChartHtml),
    ...scatters.map(scatterChartHtml),
  ];
  const figures = charts.length === 0 ? html`` : html`<div class="charts">${charts}</div>`;
  const about = note === undefined ? html`` : html`<p>${note}</p>`;
  return html`<section><h2>${title}</h2>${about}${sentences.map((sentence) => html`<p>${sentence}</p>`)}${figures}${tables.map(tableHtml)}</section>`;
}

function runsHtml(outcomes: readonly TrialOutcome[]): Html {
  const rows = outcomes.map(({ trial, reason }) => [
    trial.id,
    reason === null ? "done" : `failed: ${reason}`,
    changesText(trial),
  ]);
  return html`<section><h2>Runs</h2><details><summary>${outcomes.length} runs</summary>${tableHtml({ columns: ["run", "how it ended", "what is its own"], rows })}</details></section>`;
}

function changesText({ changes }: Trial): string {
  return Object.entries(changes)
    .map(([key, value]) => `${key} ${String(value)}`)
    .join(", ");
}
