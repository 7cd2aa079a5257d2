/** The report on MT-Bench's ratings of one model: results.json, report.html and the terminal's tables. */
import { type Cell, html, pageHtml, tableHtml, tileHtml } from "../../report/html.ts";
import { intervalChartHtml } from "../../report/interval-chart.ts";
import { textTable } from "../../terminal/text-table.ts";
import type { JudgeReport } from "../judge/judge.ts";
import type { JudgedText } from "../judge/judged-texts.ts";
import {
  facts,
  judgedTextsHtml,
  number,
  range,
  refusal,
  rowOf,
  section,
  shown,
} from "../judge/report-html.ts";
import * as text from "../judge/report-text.ts";
import type { RatedTurn, RatingStatistics } from "./mt-bench.ts";

/** Ratings of one model. */
export interface RatingReport {
  benchmark: "mt-bench";
  model: string;
  questions: number;
  /** Further questions, which are left out: an endpoint under test refused them. */
  unanswered: number;
  judge: JudgeReport;
  statistics: RatingStatistics;
  turns: readonly RatedTurn[];
  /** Answers and judgments in words, in the order of the turns; not in results.json but in judgments.jsonl. */
  texts: readonly JudgedText[];
}

/** `report.html` of ratings: statistics with their intervals as a chart, and tables. Loads nothing. */
export function ratingPage({ model, statistics, judge, texts, ...counts }: RatingReport): string {
  const { overall, perTurn, perCategory, unrated, lengthCorrelation } = statistics;
  const rows = Object.entries(perCategory).map(([name, { overall: score }]) => rowOf(name, score));
  const turn = (name: string): string => number(perTurn[name]?.value ?? Number.NaN);
  return pageHtml(`${model} · MT-Bench · preftune`, [
    html`<h1>${model} on MT-Bench</h1>`,
    html`<p class="soft">${text.questionCount(counts)}, rated from 1 to 10 by ${judge.model}. Intervals are 95 %, over questions.</p>`,
    html`<div class="tiles">${[
      tileHtml(number(overall.value), `score, ${range(overall.interval, number)}`),
      tileHtml(turn("1"), "first turn"),
      tileHtml(turn("2"), "second turn"),
      tileHtml(String(unrated), "turns without a rating"),
    ]}</div>`,
    section("Categories", [
      html`<div class="charts">${intervalChartHtml({
        title: "Score by category",
        unit: "1 to 10",
        rows: [...rows, rowOf("all", overall)],
        ticks: [1, 4, 7, 10],
        show: number,
      })}</div>`,
      tableHtml({
        columns: ["category", ...scoreColumns],
        rows: scoreRows(statistics),
      }),
    ]),
    section("The judge", [
      tableHtml(facts([["correlation of rating and length", ...shown(lengthCorrelation, number)]], judge)),
      ...refusal(judge),
    ]),
    section("Answers and judgments", [judgedTextsHtml(texts, [model])]),
  ]);
}

const scoreColumns = ["ratings", "score", "95 % interval", "turn 1", "turn 2"];

function scoreRows({ overall, perTurn, perCategory }: RatingStatistics): Cell[][] {
  const rows = [...Object.entries(perCategory), ["all", { overall, perTurn }] as const];
  return rows.map(([name, { overall: score, perTurn: turns }]) => [
    name,
    score.ratings,
    number(score.value),
    range(score.interval, number),
    ...["1", "2"].map((turn) => number(turns[turn]?.value ?? Number.NaN)),
  ]);
}

/** The tables of ratings for the terminal. */
export function ratingReportText({ model, statistics, judge, ...counts }: RatingReport): string {
  const { overall, unrated, lengthCorrelation } = statistics;
  const table = textTable(
    [`${model} on ${text.questionCount(counts)}`, ...scoreColumns],
    scoreRows(statistics).map((row) => row.map(String)),
  );
  const notes = [
    `Length: correlation of rating and words ${text.signed(lengthCorrelation)}, n ${overall.ratings}`,
    `Turns without a rating: ${unrated}`,
  ];
  return [table, "", ...notes, ...text.judgeLines(judge)].join("\n");
}
