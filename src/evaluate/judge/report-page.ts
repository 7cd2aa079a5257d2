/** `report.html` of an evaluation with a judge: figures with their intervals as a picture, and tables. Loads nothing. */

import {
  type Html,
  html,
  pageHtml,
  type ReportTable,
  shownText,
  tableHtml,
  tileHtml,
} from "../../report/html.ts";
import { type IntervalRow, intervalChartHtml } from "../../report/interval-chart.ts";
import type { Interval } from "../../stats/bootstrap.ts";
import type { Figure } from "./judged-pair.ts";
import type { Outcomes } from "./pair-figures.ts";
import { judgedTextsHtml } from "./report-texts.ts";
import type { JudgeReport, PairReport, RatingReport } from "./reports.ts";

/** The report as a page. */
export function judgeReportPage(report: RatingReport | PairReport): string {
  return "model" in report ? ratingPage(report) : pairPage(report);
}

const benchmarks = { "mt-bench": "MT-Bench", "arena-hard": "Arena-Hard", pairwise: "Pairs" } as const;

function ratingPage({ model, questions, figures, judge, texts }: RatingReport): string {
  const { overall, perTurn, perCategory, unrated, lengthCorrelation } = figures;
  const rows = [...Object.entries(perCategory).map(([name, { overall: whole }]) => rowOf(name, whole))];
  const turn = (name: string): string => score(perTurn[name]?.value ?? Number.NaN);
  return pageHtml(`${model} · MT-Bench · preftune`, [
    html`<h1>${model} on MT-Bench</h1>`,
    html`<p class="soft">${questions} questions, rated from 1 to 10 by ${judge.model}. Intervals are 95 %, over questions.</p>`,
    html`<div class="tiles">${[
      tileHtml(score(overall.value), `score, ${range(overall.interval, score)}`),
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
        show: score,
      })}</div>`,
      tableHtml({
        columns: ["category", "ratings", "score", "95 % interval", "turn 1", "turn 2"],
        rows: [
          ...Object.entries(perCategory).map(([name, { overall: whole, perTurn: turns }]) => [
            name,
            whole.ratings,
            score(whole.value),
            range(whole.interval, score),
            ...["1", "2"].map((key) => score(turns[key]?.value ?? Number.NaN)),
          ]),
          [
            "all",
            overall.ratings,
            score(overall.value),
            range(overall.interval, score),
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

function pairPage({ benchmark, models: [a, b], questions, figures, judge, texts }: PairReport): string {
  const { outcomes, perCategory, bradleyTerry, incomplete } = figures;
  const { lengthControlled, styleControlled, winRate } = bradleyTerry;
  const named: IntervalRow[] = [
    rowOf("wins and ties / 2", outcomes.winRate),
    rowOf("Bradley–Terry", winRate),
    rowOf("at equal length", lengthControlled.winRate),
    rowOf("at equal style", styleControlled.winRate),
  ];
  const categories = Object.entries(perCategory);
  const many = categories.length > 1 ? categories : [];
  const chart = { unit: "share", ticks: [0, 0.25, 0.5, 0.75, 1], mark: 0.5, show: percent };
  return pageHtml(`${a} against ${b} · ${benchmarks[benchmark]} · preftune`, [
    html`<h1>${a} against ${b}</h1>`,
    html`<p class="soft">${benchmarks[benchmark]}, ${questions} questions, judged in both orders by ${judge.model}. Intervals are 95 %, over questions.</p>`,
    html`<div class="tiles">${[
      tileHtml(percent(outcomes.winRate.value), "wins and half of the ties"),
      tileHtml(percent(winRate.value), "Bradley–Terry win rate"),
      tileHtml(percent(styleControlled.winRate.value), "at equal length and Markdown"),
      tileHtml(String(incomplete), "pairs that lack a verdict"),
    ]}</div>`,
    section("Win rate", [
      html`<div class="charts">${[
        intervalChartHtml({ ...chart, title: `Win rate of ${a}`, rows: named }),
        ...(many.length > 0
          ? [
              intervalChartHtml({
                ...chart,
                title: "By category",
                rows: many.map(([name, one]) => rowOf(name, one.winRate)),
              }),
            ]
          : []),
      ]}</div>`,
      tableHtml(outcomeTable([...many, ["all", outcomes]])),
    ]),
    section("The judge", [tableHtml(facts(biasRows(figures), judge)), ...refusal(judge)]),
    section("Answers and judgments", [
      html`<p class="soft">${`A is ${a}, B is ${b}, whichever was shown first: A>>B says that A is much better.`}</p>`,
      judgedTextsHtml(texts, [a, b]),
    ]),
  ]);
}

function rowOf(name: string, { value, interval }: Figure): IntervalRow {
  return { name, interval: { value, ...interval } };
}

function outcomeTable(rows: readonly (readonly [string, Outcomes])[]): ReportTable {
  return {
    columns: ["category", "pairs", "win", "tie", "loss", "win rate", "95 % interval"],
    rows: rows.map(([name, { pairs, wins, ties, losses, winRate }]) => [
      name,
      pairs,
      wins,
      ties,
      losses,
      percent(winRate.value),
      range(winRate.interval, percent),
    ]),
  };
}

type Fact = [name: string, value: string, interval: string, n: number];

function biasRows({ positionBias, lengthBias, bradleyTerry }: PairReport["figures"]): Fact[] {
  const { verdicts, styleControlled } = bradleyTerry;
  const coefficients = Object.entries(styleControlled.coefficients).map(
    ([name, figure]): Fact => [`log-odds for one deviation more ${name}`, ...shown(figure, number), verdicts],
  );
  return [
    ["winner changed with the order", ...shown(positionBias.changed, percent), positionBias.pairs],
    ["won by the answer shown first", ...shown(positionBias.firstShare, percent), positionBias.decided],
    ["won by the longer answer", ...shown(lengthBias.longerShare, percent), lengthBias.decided],
    ["correlation of winning and being longer", ...shown(lengthBias.correlation, number), lengthBias.pairs],
    ...coefficients,
  ];
}

/** Figures of a judge with their intervals, and then its counts. */
function facts(rows: readonly (Fact | [string, string, string])[], judge: JudgeReport): ReportTable {
  const counts: [string, number | string][] = [
    ["judgments", judge.judgments],
    ["without a readable verdict", judge.unparsable],
    ["refused", judge.refused],
    ["cut at the limit of tokens", judge.cut],
    ["tokens read in this run", judge.spent.promptTokens],
    ["tokens written in this run", judge.spent.completionTokens],
    ...(judge.cost === null ? [] : [["cost of this run", number(judge.cost)] as [string, string]]),
  ];
  return {
    columns: [judge.model, "value", "95 % interval", "n"],
    rows: [
      ...rows.map(([name, value, interval, n]) => [name, value, interval, n ?? null]),
      ...counts.map(([name, value]) => [name, value, null, null]),
    ],
  };
}

/** The endpoint's own words where it refused requests. */
function refusal({ refused, firstRefusal }: JudgeReport): Html[] {
  if (firstRefusal === null) return [];
  return [
    html`<p class="note">${`${refused} requests were refused, the first: ${shownText(firstRefusal, 1000)}`}</p>`,
  ];
}

function section(title: string, parts: readonly Html[]): Html {
  return html`<section><h2>${title}</h2>${parts}</section>`;
}

function shown({ value, interval }: Figure, show: (value: number) => string): [string, string] {
  return [show(value), range(interval, show)];
}

function range({ low, high }: Interval, show: (value: number) => string): string {
  return Number.isNaN(low) ? "–" : `${show(low)} to ${show(high)}`;
}

function score(value: number): string {
  return number(value);
}

function number(value: number): string {
  return Number.isNaN(value) ? "–" : value.toFixed(2).replace("-", "−");
}

function percent(value: number): string {
  return Number.isNaN(value) ? "–" : `${(100 * value).toFixed(1)} %`;
}
