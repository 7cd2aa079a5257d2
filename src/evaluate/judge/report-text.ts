/** What the terminal's tables of evaluations with a judge have in common. */

import type { Statistic } from "../../stats/mean-over-groups.ts";
import { oneLine } from "../../terminal/text-table.ts";
import type { JudgeReport } from "./judge.ts";
import { percent, range } from "./report-html.ts";

/** The judge's counts, a line each. */
export function judgeLines(judge: JudgeReport): string[] {
  const { judgments, cached, unparsable, refused, cut, askedAgain, spent, cost, model, firstRefusal } = judge;
  const uncounted = spent.uncounted > 0 ? `, ${spent.uncounted} answers without a count` : "";
  const unanswered = spent.unanswered > 0 ? `, ${spent.unanswered} requests without an answer` : "";
  const costText = cost === null ? "" : `, cost ${unanswered === "" ? "" : "at least "}${number(cost, 4)}`;
  return [
    `Judge ${model}: ${judgments} judgments (${cached} answers kept from before), ${unparsable} without a readable verdict, ` +
      `${refused} refused, ${cut} cut at the limit, ${askedAgain} asked again`,
    ...(firstRefusal === null ? [] : [`  first refusal: ${oneLine(firstRefusal, 400)}`]),
    `  ${spent.requests} requests, ${spent.retries} of them repeated; ${spent.promptTokens} tokens read, ` +
      `${spent.completionTokens} written${uncounted}${unanswered}${costText}`,
  ];
}

/** "80 questions", and how many more were refused by an endpoint under test. */
export function questionCount({ questions, unanswered }: { questions: number; unanswered: number }): string {
  return `${questions} questions${unanswered === 0 ? "" : ` (${unanswered} more refused)`}`;
}

/** So many digits, or "–". */
function number(value: number, digits: number): string {
  return Number.isNaN(value) ? "–" : value.toFixed(digits);
}

/** A rate with its interval. */
export function shareText({ value, interval }: Statistic): string {
  return `${percent(value)} (${range(interval, percent)})`;
}

/** A statistic with its interval, two digits. */
export function signed({ value, interval }: Statistic): string {
  return `${number(value, 2)} (${range(interval, (x) => number(x, 2))})`;
}
