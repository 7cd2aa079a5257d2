/** The report on two models compared in pairs, for all benchmarks that do: results.json, report.html and the terminal's tables. */
import { type Cell, html, pageHtml, tableHtml, tileHtml } from "../../report/html.ts";
import { type IntervalRow, intervalChartHtml } from "../../report/interval-chart.ts";
import type { Interval } from "../../stats/bootstrap.ts";
import { textTable } from "../../terminal/text-table.ts";
import type { JudgeReport } from "./judge.ts";
import type { JudgedPair } from "./judged-pair.ts";
import type { JudgedText } from "./judged-texts.ts";
import { requireVerdicts } from "./judging.ts";
import {
  type Outcomes,
  type PairStatistics,
  type PairStatisticsOptions,
  pairStatistics,
} from "./pair-statistics.ts";
import type { JudgedPairs } from "./pair-tasks.ts";
import {
  type Fact,
  facts,
  judgedTextsHtml,
  number,
  percent,
  range,
  refusal,
  rowOf,
  section,
  shown,
} from "./report-html.ts";
import * as text from "./report-text.ts";

/** A comparison of two models. */
export interface PairReport {
  benchmark: "mt-bench" | "arena-hard" | "pairwise";
  /** A, whose wins are counted, and B. */
  models: readonly [a: string, b: string];
  questions: number;
  /** Further questions, which are left out: an endpoint under test refused them. */
  unanswered: number;
  judge: JudgeReport;
  statistics: PairStatistics;
  pairs: readonly JudgedPair[];
  /** Answers and judgments in words, in the order of the pairs; not in results.json but in judgments.jsonl. */
  texts: readonly JudgedText[];
}

/**
 * The report on judged pairs.
 *
 * @throws {EndpointError} when none has a verdict
 */
export function pairReport(
  benchmark: PairReport["benchmark"],
  models: PairReport["models"],
  { pairs, texts }: JudgedPairs,
  { judge, unanswered, ...options }: PairStatisticsOptions & Pick<PairReport, "judge" | "unanswered">,
): PairReport {
  const verdicts = pairs.flatMap((pair) => pair.verdicts.filter((verdict) => verdict !== null)).length;
  requireVerdicts(verdicts, judge);
  const questions = new Set(pairs.map(({ id }) => id)).size;
  const statistics = pairStatistics(pairs, options);
  return { benchmark, models, questions, unanswered, judge, statistics, pairs, texts };
}

const benchmarks = { "mt-bench": "MT-Bench", "arena-hard": "Arena-Hard", pairwise: "Pairs" } as const;

/** `report.html` of a comparison: statistics with their intervals as a chart, and tables. Loads nothing. */
export function pairPage({
  benchmark,
  models: [a, b],
  statistics,
  judge,
  texts,
  ...counts
}: PairReport): string {
  const { outcomes, perCategory, bradleyTerry, incomplete } = statistics;
  const { lengthControlled, styleControlled, winRate } = bradleyTerry;
  const named: IntervalRow[] = [
    rowOf("wins and ties / 2", outcomes.winRate),
    rowOf("Bradley–Terry", winRate),
    rowOf("at equal length", lengthControlled.winRate),
    rowOf("at equal style", styleControlled.winRate),
  ];
  const many = severalOf(perCategory);
  const chart = { unit: "share", ticks: [0, 0.25, 0.5, 0.75, 1], mark: 0.5, show: percent };
  return pageHtml(`${a} against ${b} · ${benchmarks[benchmark]} · preftune`, [
    html`<h1>${a} against ${b}</h1>`,
    html`<p class="soft">${benchmarks[benchmark]}, ${text.questionCount(counts)}, judged in both orders by ${judge.model}. Intervals are 95 %, over questions.</p>`,
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
                rows: many.map(([name, category]) => rowOf(name, category.winRate)),
              }),
            ]
          : []),
      ]}</div>`,
      tableHtml({ columns: ["category", ...outcomeColumns], rows: outcomeRows(statistics) }),
    ]),
    section("The judge", [tableHtml(facts(biasRows(statistics), judge)), ...refusal(judge)]),
    section("Answers and judgments", [
      html`<p class="soft">${`A is ${a}, B is ${b}, whichever was shown first: A>>B says that A is much better.`}</p>`,
      judgedTextsHtml(texts, [a, b]),
    ]),
  ]);
}

/** The categories where there are several; one alone says what all say. */
function severalOf(perCategory: PairStatistics["perCategory"]): [string, Outcomes][] {
  const categories = Object.entries(perCategory);
  return categories.length > 1 ? categories : [];
}

const outcomeColumns = ["pairs", "win", "tie", "loss", "win rate", "95 % interval"];

function outcomeRows({ outcomes, perCategory }: PairStatistics): Cell[][] {
  const rows: [string, Outcomes][] = [...severalOf(perCategory), ["all", outcomes]];
  return rows.map(([name, { pairs, wins, ties, losses, winRate }]) => [
    name,
    pairs,
    wins,
    ties,
    losses,
    percent(winRate.value),
    range(winRate.interval, percent),
  ]);
}

function biasRows({ positionBias, lengthBias, bradleyTerry }: PairReport["statistics"]): Fact[] {
  const { verdicts, styleControlled } = bradleyTerry;
  const coefficients = Object.entries(styleControlled.coefficients).map(
    ([name, statistic]): Fact => [
      `log-odds for one deviation more ${name}`,
      ...shown(statistic, number),
      verdicts,
    ],
  );
  return [
    ["winner changed with the order", ...shown(positionBias.changed, percent), positionBias.pairs],
    ["won by the answer shown first", ...shown(positionBias.firstShare, percent), positionBias.decided],
    ["won by the longer answer", ...shown(lengthBias.longerShare, percent), lengthBias.decided],
    ["correlation of winning and being longer", ...shown(lengthBias.correlation, number), lengthBias.pairs],
    ...coefficients,
  ];
}

/** The tables of a comparison for the terminal. */
export function pairReportText({ models: [a, b], statistics, judge, ...counts }: PairReport): string {
  const { outcomes, bradleyTerry } = statistics;
  const table = textTable(
    [`${a} against ${b}, ${text.questionCount(counts)}`, ...outcomeColumns],
    outcomeRows(statistics).map((row) => row.map(String)),
  );
  const { win, tie, loss } = outcomes.shares;
  const shares = `Shares: win ${text.shareText(win)}, tie ${text.shareText(tie)}, loss ${text.shareText(loss)}`;
  return [
    table,
    "",
    shares,
    "",
    strengthTable(bradleyTerry),
    "",
    ...biasLines(statistics),
    ...text.judgeLines(judge),
  ].join("\n");
}

function strengthTable({
  verdicts,
  winRate,
  intervalOverVerdicts,
  lengthControlled,
  styleControlled,
}: PairReport["statistics"]["bradleyTerry"]): string {
  const row = (name: string, value: number, bounds: Interval): string[] => [
    name,
    percent(value),
    range(bounds, percent),
  ];
  return textTable(
    [`Bradley–Terry win rate, ${verdicts} verdicts`, "win rate", "95 % interval"],
    [
      row("as judged", winRate.value, winRate.interval),
      row("as judged, verdicts resampled one by one", winRate.value, intervalOverVerdicts),
      row("at equal length", lengthControlled.winRate.value, lengthControlled.winRate.interval),
      row(
        "at equal length, headers, bold and lists",
        styleControlled.winRate.value,
        styleControlled.winRate.interval,
      ),
    ],
  );
}

function biasLines({
  incomplete,
  positionBias,
  lengthBias,
  bradleyTerry,
}: PairReport["statistics"]): string[] {
  const { pairs, changed, favoursFirst, favoursSecond, decided, firstShare } = positionBias;
  const coefficient = bradleyTerry.lengthControlled.coefficients["length"];
  return [
    `Position: the winner changed with the order in ${text.shareText(changed)} of ${pairs} pairs ` +
      `(${favoursFirst} for the first, ${favoursSecond} for the second in both orders)`,
    `  the answer shown first won ${text.shareText(firstShare)} of ${decided} decided verdicts`,
    `Length: the longer answer won ${text.shareText(lengthBias.longerShare)} of ${lengthBias.decided} decided verdicts`,
    `  correlation of winning and being longer ${text.signed(lengthBias.correlation)}, n ${lengthBias.pairs}`,
    ...(coefficient === undefined
      ? []
      : [`  log-odds for one standard deviation more length ${text.signed(coefficient)}`]),
    `Pairs that lack a verdict: ${incomplete}`,
  ];
}
