/** What comes of a grid: two tables as JSON lines, one HTML report, and a summary for the terminal. */
import { join } from "node:path";
import { writeFileAtomic } from "../base/files.ts";
import { stringifyNumbers } from "../base/json-numbers.ts";
import { type Html, html, pageHtml, type ReportTable, tableHtml } from "../report/html.ts";
import { type IntervalChart, intervalChartHtml } from "../report/interval-chart.ts";
import { chartHtml } from "../report/line-chart.ts";
import { scatterChartHtml } from "../report/scatter-chart.ts";
import type { Interval } from "../stats/crossed-bootstrap.ts";
import { textTable } from "../terminal/text-table.ts";
import type { Cell, CellOutcome } from "./cell.ts";
import {
  estimate,
  estimateDifference,
  FIGURES,
  type FigureName,
  lengthAccuracy,
  tableOf,
} from "./figures.ts";
import { countText, intervalText } from "./interval-text.ts";
import { type Comparison, comparisonsOf, type MeasuredCondition } from "./measured.ts";
import type { Condition, Measured, ResultRow, Section } from "./section.ts";

/** What a report is about. */
export interface OutcomeText {
  title: string;
  question: string;
  /** What was trained on what. */
  said: string;
  /** The command that makes it again. */
  command: string;
}

/** What is reported. */
export interface OutcomeParts {
  dir: string;
  text: OutcomeText;
  outcomes: readonly CellOutcome[];
  conditions: readonly Condition[];
  measured: Measured;
  figures: readonly FigureName[];
  referenceOf(condition: string): string | null;
  sections: readonly Section[];
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

/** Figures that fit beside each other in a terminal. */
const figuresInTerminal = 4;

/** Writes tables and report into the grid's folder. */
export function writeOutcome(parts: OutcomeParts): WrittenOutcome {
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
  const failed = [...measured.values()].flatMap((one) =>
    one.failed.map(({ seed, reason }) => `Failed: ${one.name}, seed ${seed}: ${reason.split("\n")[0]}`),
  );
  const said = parts.sections.flatMap((section) => section.said ?? []);
  const table = terminalTable(parts);
  const summary = [table, ...(failed.length > 0 ? [failed.join("\n")] : []), ...said].join("\n\n");
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
  const { measured, figures } = parts;
  return [...measured.values()].flatMap((one) =>
    figures.map((figure) => ({
      condition: one.name,
      figure,
      unit: FIGURES[figure].unit,
      interval: estimate(one, figure),
    })),
  );
}

function compared(parts: OutcomeParts): Comparison[] {
  return comparisonsOf(shownOf(parts), parts.measured, parts.referenceOf);
}

function differenceRows(parts: OutcomeParts): ResultRow[] {
  return compared(parts).flatMap(({ one, base }) =>
    parts.figures.map((figure) => ({
      condition: one.name,
      minus: base.name,
      figure,
      unit: FIGURES[figure].unit,
      interval: estimateDifference(one, base, figure),
    })),
  );
}

function resultLine({ interval, ...row }: ResultRow): unknown {
  return { ...row, ...interval };
}

/** One run: what it was and, where it came to its end, the mean of each figure over its pairs. */
function runLine({ cell, reason }: CellOutcome, { measured, figures }: OutcomeParts): unknown {
  const { id, condition, seed, changes } = cell;
  const known = { id, condition, seed, changes };
  if (reason !== null) return { ...known, status: "failed", reason };
  const run = measured.get(condition)?.runs.find((one) => one.cell.id === id);
  const values = figures.map((figure) => [
    figure,
    run === undefined ? Number.NaN : meanOf(tableOf([run], figure)[0]),
  ]);
  return { ...known, status: "done", ...Object.fromEntries(values) };
}

function meanOf(values: Float64Array | undefined): number {
  const known = (values ?? new Float64Array()).filter((value) => !Number.isNaN(value));
  return known.reduce((a, b) => a + b, 0) / known.length;
}

function terminalTable(parts: OutcomeParts): string {
  const shown = parts.figures.slice(0, figuresInTerminal);
  const headings = shown.map((figure) => FIGURES[figure].title.replace(/ (?=\S+$)/, "\n"));
  const rows = shownOf(parts).map((one) => [
    one.name,
    ...shown.map((figure) => intervalText(estimate(one, figure), FIGURES[figure].unit)),
    counted(one, parts.figures[0]),
  ]);
  return textTable(["", ...headings, "seeds\n× pairs"], rows);
}

function counted(one: MeasuredCondition, figure: FigureName | undefined): string {
  return figure === undefined || one.runs.length === 0 ? "–" : countText(estimate(one, figure));
}

function reportHtml(parts: OutcomeParts): string {
  const { text, outcomes, sections, measured } = parts;
  const failed = outcomes.filter(({ reason }) => reason !== null);
  const first = [...measured.values()].flatMap(({ runs }) => runs)[0];
  return pageHtml(`${text.title} · preftune`, [
    html`<h1>${text.title}</h1><p class="soft">${text.question}</p><p>${text.said} ${outcomes.length} runs.</p>`,
    failedNote(failed),
    html`<section><h2>Held-out pairs, after training</h2><p>${howToRead(first === undefined ? null : lengthAccuracy(first))}</p>
${tableHtml(mainTable(parts))}</section>`,
    differenceHtml(parts),
    html`<section><h2>Figures</h2><div class="charts">${figureCharts(parts).map(intervalChartHtml)}</div></section>`,
    ...sections.map(sectionHtml),
    runsHtml(outcomes),
    html`<section><h2>Again</h2><p><code>${text.command}</code></p><p>Each run repeats with <code>preftune train runs/NAME/config.yaml --output_dir ELSEWHERE</code>.</p></section>`,
    html`<footer>Made by preftune from the runs in this folder. The numbers stand in results.jsonl and runs.jsonl.</footer>`,
  ]);
}

function howToRead(length: Interval | null): string {
  const baseline =
    length === null
      ? ""
      : ` "The longer answer is the better one" is right in ${intervalText(length, "share")} of the pairs.`;
  return (
    "In brackets: 95 % bootstrap intervals (BCa) over training seeds and held-out pairs, drawn independently. They say nothing of other " +
    `data and models; where seeds differ much and are fewer than about five, they are too narrow (docs/studies.md).${baseline}`
  );
}

function failedNote(failed: readonly CellOutcome[]): Html {
  if (failed.length === 0) return html``;
  const items = failed.map(
    ({ cell, reason }) => html`<li>${cell.condition}, seed ${cell.seed}: ${reason ?? ""}</li>`,
  );
  return html`<div class="note bad"><b>${failed.length} runs failed.</b> The figures are of the others.<ul>${items}</ul></div>`;
}

function mainTable(parts: OutcomeParts): ReportTable {
  const { figures } = parts;
  return {
    columns: ["", ...figures.map((figure) => FIGURES[figure].title), "seeds × pairs"],
    rows: shownOf(parts).map((one) => [
      one.name,
      ...figures.map((figure) => intervalText(estimate(one, figure), FIGURES[figure].unit)),
      counted(one, figures[0]),
    ]),
  };
}

function differenceHtml(parts: OutcomeParts): Html {
  const { figures } = parts;
  const pairs = compared(parts);
  if (pairs.length === 0) return html``;
  const bases = new Set(pairs.map(({ base }) => base.name));
  const rows = pairs.map(({ one, base }) => [
    bases.size === 1 ? one.name : `${one.name} − ${base.name}`,
    ...figures.map((figure) =>
      intervalText(estimateDifference(one, base, figure), FIGURES[figure].unit, { isSigned: true }),
    ),
  ]);
  const table = { columns: ["", ...figures.map((figure) => FIGURES[figure].title)], rows };
  return html`<section><h2>${bases.size === 1 ? `Difference to ${[...bases][0]}` : "Differences"}</h2><p>Pair by pair, over the seeds that both have: what the pairs share drops out, so these intervals are the ones to compare by.</p>${tableHtml(table)}</section>`;
}

function figureCharts(parts: OutcomeParts): IntervalChart[] {
  return parts.figures.map((figure) => ({
    title: FIGURES[figure].title,
    unit: FIGURES[figure].unit,
    rows: shownOf(parts).map((one) => ({ name: one.name, interval: estimate(one, figure) })),
  }));
}

function sectionHtml({
  title,
  note,
  tables = [],
  courses = [],
  intervals = [],
  scatters = [],
  said = [],
}: Section): Html {
  const charts = [
    ...courses.map(chartHtml),
    ...intervals.map(intervalChartHtml),
    ...scatters.map(scatterChartHtml),
  ];
  const figures = charts.length === 0 ? html`` : html`<div class="charts">${charts}</div>`;
  const about = note === undefined ? html`` : html`<p>${note}</p>`;
  return html`<section><h2>${title}</h2>${about}${said.map((sentence) => html`<p>${sentence}</p>`)}${figures}${tables.map(tableHtml)}</section>`;
}

function runsHtml(outcomes: readonly CellOutcome[]): Html {
  const rows = outcomes.map(({ cell, reason }) => [
    cell.id,
    reason === null ? "done" : `failed: ${reason}`,
    changesText(cell),
  ]);
  return html`<section><h2>Runs</h2><details><summary>${outcomes.length} runs</summary>${tableHtml({ columns: ["run", "how it ended", "what is its own"], rows })}</details></section>`;
}

function changesText({ changes }: Cell): string {
  return Object.entries(changes)
    .map(([key, value]) => `${key} ${String(value)}`)
    .join(", ");
}
