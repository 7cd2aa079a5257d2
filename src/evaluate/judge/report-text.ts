/** What the terminal's tables of evaluations with a judge have in common. */
import type { Interval } from "../../stats/bootstrap.ts";
import { oneLine } from "../../terminal/text-table.ts";
import type { JudgeReport } from "./judge.ts";
import type { Statistic } from "./judged-pair.ts";

/** The judge's counts, a line each. */
export function judgeLines(judge: JudgeReport): string[] {
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

/** So many digits, or "–". */
export function number(value: number, digits: number): string {
  return Number.isNaN(value) ? "–" : value.toFixed(digits);
}

/** "12.3 %", or "–". */
export function percent(value: number): string {
  return Number.isNaN(value) ? "–" : `${(100 * value).toFixed(1)} %`;
}

/** "0.4 to 0.6", or "–". */
export function interval({ low, high }: Interval, show: (value: number) => string): string {
  return Number.isNaN(low) ? "–" : `${show(low)} to ${show(high)}`;
}

/** A rate with its interval. */
export function shareText({ value, interval: range }: Statistic): string {
  return `${percent(value)} (${interval(range, percent)})`;
}

/** A statistic with its interval, two digits. */
export function signed({ value, interval: range }: Statistic): string {
  return `${number(value, 2)} (${interval(range, (x) => number(x, 2))})`;
}
