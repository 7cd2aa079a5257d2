/** Results of judges as tables for the terminal. */

import type { Figure } from "../evaluate/judge/judged-pair.ts";
import type { Outcomes } from "../evaluate/judge/pair-figures.ts";
import type { JudgeReport, PairReport, RatingReport } from "../evaluate/judge/reports.ts";
import type { Score } from "../evaluate/mt-bench/mt-bench.ts";
import type { Interval } from "../stats/bootstrap.ts";
import { oneLine, textTable } from "../terminal/text-table.ts";

/** The tables of either kind of report. */
export function reportText(report: RatingReport | PairReport): string {
  return "model" in report ? ratingText(report) : pairText(report);
}

function ratingText({ model, questions, figures, judge }: RatingReport): string {
  const { overall, perTurn, perCategory, unrated, lengthCorrelation } = figures;
  const row = (name: string, whole: Score, turns: Record<string, Score>): string[] => [
    name,
    String(whole.ratings),
    number(whole.value, 2),
    interval(whole.interval, (x) => number(x, 2)),
    ...["1", "2"].map((turn) => number(turns[turn]?.value ?? Number.NaN, 2)),
  ];
  const table = textTable(
    [`${model} on ${questions} questions`, "ratings", "score", "95 % interval", "turn 1", "turn 2"],
    [
      ...Object.entries(perCategory).map(([name, { overall: whole, perTurn: turns }]) =>
        row(name, whole, turns),
      ),
      row("all", overall, perTurn),
    ],
  );
  const notes = [
    `Length: correlation of rating and words ${signed(lengthCorrelation)}, n ${overall.ratings}`,
    `Turns without a rating: ${unrated}`,
  ];
  return [table, "", ...notes, ...judgeLines(judge)].join("\n");
}

function pairText({ models: [a, b], questions, figures, judge }: PairReport): string {
  const { outcomes, perCategory, bradleyTerry } = figures;
  const row = (name: string, { pairs, wins, ties, losses, winRate }: Outcomes): string[] => [
    name,
    String(pairs),
    String(wins),
    String(ties),
    String(losses),
    percent(winRate.value),
    interval(winRate.interval, percent),
  ];
  const categories = Object.entries(perCategory);
  const table = textTable(
    [`${a} against ${b}, ${questions} questions`, "pairs", "win", "tie", "loss", "win rate", "95 % interval"],
    [
      ...(categories.length > 1 ? categories.map(([name, some]) => row(name, some)) : []),
      row("all", outcomes),
    ],
  );
  const { win, tie, loss } = outcomes.shares;
  const shares = `Shares: win ${shareText(win)}, tie ${shareText(tie)}, loss ${shareText(loss)}`;
  return [
    table,
    "",
    shares,
    "",
    strengthTable(bradleyTerry),
    "",
    ...biasLines(figures),
    ...judgeLines(judge),
  ].join("\n");
}

function strengthTable({
  verdicts,
  winRate,
  intervalOverVerdicts,
  lengthControlled,
  styleControlled,
}: PairReport["figures"]["bradleyTerry"]): string {
  const row = (name: string, value: number, range: Interval): string[] => [
    name,
    percent(value),
    interval(range, percent),
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

function biasLines({ incomplete, positionBias, lengthBias, bradleyTerry }: PairReport["figures"]): string[] {
  const { pairs, changed, favoursFirst, favoursSecond, decided, firstShare } = positionBias;
  const coefficient = bradleyTerry.lengthControlled.coefficients["length"];
  return [
    `Position: the winner changed with the order in ${shareText(changed)} of ${pairs} pairs ` +
      `(${favoursFirst} for the first, ${favoursSecond} for the second in both orders)`,
    `  the answer shown first won ${shareText(firstShare)} of ${decided} decided verdicts`,
    `Length: the longer answer won ${shareText(lengthBias.longerShare)} of ${lengthBias.decided} decided verdicts`,
    `  correlation of winning and being longer ${signed(lengthBias.correlation)}, n ${lengthBias.pairs}`,
    ...(coefficient === undefined
      ? []
      : [`  log-odds for one standard deviation more length ${signed(coefficient)}`]),
    `Pairs that lack a verdict: ${incomplete}`,
  ];
}

function judgeLines(judge: JudgeReport): string[] {
  const { judgments, cached, unparsable, refused, cut, askedAgain, spent, cost, model, firstRefusal } = judge;
  const uncounted = spent.uncounted > 0 ? `, ${spent.uncounted} answers without a count` : "";
  const costText = cost === null ? "" : `, cost ${number(cost, 4)}`;
  return [
    `Judge ${model}: ${judgments} judgments (${cached} answers kept from before), ${unparsable} without a readable verdict, ` +
      `${refused} refused, ${cut} cut at the limit, ${askedAgain} asked again`,
    ...(firstRefusal === null ? [] : [`  first refusal: ${oneLine(firstRefusal, 400)}`]),
    `  ${spent.requests} requests, ${spent.retries} of them repeated; ${spent.promptTokens} tokens read, ` +
      `${spent.completionTokens} written${uncounted}${costText}`,
  ];
}

function number(value: number, digits: number): string {
  return Number.isNaN(value) ? "–" : value.toFixed(digits);
}

function percent(value: number): string {
  return Number.isNaN(value) ? "–" : `${(100 * value).toFixed(1)} %`;
}

function interval({ low, high }: Interval, show: (value: number) => string): string {
  return Number.isNaN(low) ? "–" : `${show(low)} to ${show(high)}`;
}

function shareText({ value, interval: range }: Figure): string {
  return `${percent(value)} (${interval(range, percent)})`;
}

function signed({ value, interval: range }: Figure): string {
  return `${number(value, 2)} (${interval(range, (x) => number(x, 2))})`;
}
