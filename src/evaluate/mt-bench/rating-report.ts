/** The report on MT-Bench's ratings of one model: results.json, report.html and the terminal's tables. */
import { html, pageHtml, tableHtml, tileHtml } from "../../report/html.ts";
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
import type { RatedTurn, RatingStatistics, Score } from "./mt-bench.ts";

/** Ratings of one model. */
export interface RatingReport {
  benchmark: "mt-bench";
  model: string;
  questions: number;
  judge: JudgeReport;
  statistics: RatingStatistics;
  turns: readonly RatedTurn[];
  /** Answers and judgments in words, in the order of the turns; not in results.json but in judgments.jsonl. */
  texts: readonly JudgedText[];
}

/** `report.html` of ratings: statistics with their intervals as a chart, and tables. Loads nothing. */
export function ratingPage({ model, questions, statistics, judge, texts }: RatingReport): string {
  const { overall, perTurn, perCategory, unrated, lengthCorrelation } = statistics;
  const rows = Object.entries(perCategory).map(([name, { overall: score }]) => rowOf(name, score));
  const turn = (name: string): string => number(perTurn[name]?.value ?? Number.NaN);
  return pageHtml(`${model} · MT-Bench · preftune`, [
    html`<h1>${model} on MT-Bench</h1>`,
    html`<p class="soft">${questions} questions, rated from 1 to 10 by ${judge.model}. Intervals are 95 %, over questions.</p>`,
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
        columns: ["category", "ratings", "score", "95 % interval", "turn 1", "turn 2"],
        rows: [
          ...Object.entries(perCategory).map(([name, { overall: score, perTurn: turns }]) => [
            name,
            score.ratings,
            number(score.value),
            range(score.interval, number),
            ...["1", "2"].map((key) => number(turns[key]?.value ?? Number.NaN)),
          ]),
          [
            "all",
            overall.ratings,
            number(overall.value),
            range(overall.interval, number),
            turn("1"),
            turn("2"),
          ],
        ],
      }),
    ]),
    section("The judge", [
      tableHtml(facts([["correlation of rating and length", ...shown(lengthCorrelation, number)]], judge)),
      ...refusal(judge),
    ]),
    section("Answers and judgments", [judgedTextsHtml(texts, [model])]),
  ]);
}

/** The tables of ratings for the terminal. */
export function ratingReportText({ model, questions, statistics, judge }: RatingReport): string {
  const { overall, perTurn, perCategory, unrated, lengthCorrelation } = statistics;
  const row = (name: string, score: Score, turns: Record<string, Score>): string[] => [
    name,
    String(score.ratings),
    text.number(score.value, 2),
    range(score.interval, (x) => text.number(x, 2)),
    ...["1", "2"].map((turn) => text.number(turns[turn]?.value ?? Number.NaN, 2)),
  ];
  const table = textTable(
    [`${model} on ${questions} questions`, "ratings", "score", "95 % interval", "turn 1", "turn 2"],
    [
      ...Object.entries(perCategory).map(([name, { overall: score, perTurn: turns }]) =>
        row(name, score, turns),
      ),
      row("all", overall, perTurn),
    ],
  );
  const notes = [
    `Length: correlation of rating and words ${text.signed(lengthCorrelation)}, n ${overall.ratings}`,
    `Turns without a rating: ${unrated}`,
  ];
  return [table, "", ...notes, ...text.judgeLines(judge)].join("\n");
}
