/** What the pages of evaluations with a judge have in common. */
import { type Html, html, type ReportTable, shownText } from "../../report/html.ts";
import type { IntervalRow } from "../../report/interval-chart.ts";
import type { Interval } from "../../stats/bootstrap.ts";
import type { Statistic } from "../../stats/mean-over-groups.ts";
import type { JudgeReport } from "./judge.ts";
import type { JudgedText, JudgmentText } from "./judged-texts.ts";

/** A row of the judge's table; n is the number of verdicts or pairs. */
export type Fact = [name: string, value: string, interval: string, n: number];

/** Statistics of a judge with their intervals, and then its counts. */
export function facts(rows: readonly (Fact | [string, string, string])[], judge: JudgeReport): ReportTable {
  const costName = `cost of this run${judge.spent.unanswered > 0 ? ", at least" : ""}`;
  const counts: [string, number | string][] = [
    ["judgments", judge.judgments],
    ["without a readable verdict", judge.unparsable],
    ["refused", judge.refused],
    ["cut at the limit of tokens", judge.cut],
    ["tokens read in this run", judge.spent.promptTokens],
    ["tokens written in this run", judge.spent.completionTokens],
    ...(judge.cost === null ? [] : [[costName, number(judge.cost)] as [string, string]]),
  ];
  return {
    columns: [judge.model, "value", "95 % interval", "n"],
    rows: [
      ...rows.map(([name, value, interval, n]) => [name, value, interval, n ?? null]),
      ...counts.map(([name, value]) => [name, value, null, null]),
    ],
  };
}

/** The endpoint's message where it refused requests. */
export function refusal({ refused, firstRefusal }: JudgeReport): Html[] {
  if (firstRefusal === null) return [];
  return [
    html`<p class="note">${`${refused} requests were refused, the first: ${shownText(firstRefusal, 1000)}`}</p>`,
  ];
}

/** A section of the page. */
export function section(title: string, parts: readonly Html[]): Html {
  return html`<section><h2>${title}</h2>${parts}</section>`;
}

/** A statistic and its interval as text. */
export function shown({ value, interval }: Statistic, show: (value: number) => string): [string, string] {
  return [show(value), range(interval, show)];
}

/** "0.4 to 0.6", or "–". */
export function range({ low, high }: Interval, show: (value: number) => string): string {
  return Number.isNaN(low) ? "–" : `${show(low)} to ${show(high)}`;
}

/** Two digits, or "–". */
export function number(value: number): string {
  return Number.isNaN(value) ? "–" : value.toFixed(2).replace("-", "−");
}

/** "12.3 %", or "–". */
export function percent(value: number): string {
  return Number.isNaN(value) ? "–" : `${(100 * value).toFixed(1)} %`;
}

/** A row of the chart of intervals. */
export function rowOf(name: string, { value, interval }: Statistic): IntervalRow {
  return { name, interval: { value, ...interval } };
}

/** Items that a page has; the file beside it has all. */
const mostItems = 200;
/** Characters of a text that are shown. */
const longestText = 4000;

/**
 * Questions with answers and judgments, those without a verdict first.
 *
 * @param names - who gave the answers, in their order
 */
export function judgedTextsHtml(texts: readonly JudgedText[], names: readonly string[]): Html {
  const ordered = [
    ...texts.filter((text) => lacksVerdict(text)),
    ...texts.filter((text) => !lacksVerdict(text)),
  ];
  const items = ordered.slice(0, mostItems).map((text) => itemHtml(text, names));
  const part = texts.length > mostItems ? `${mostItems} of ${texts.length}` : `All ${texts.length}`;
  const about = `${part}, those without a verdict first. judgments.jsonl beside this page has all of them, in full.`;
  return html`<p class="soft">${about}</p>${items}`;
}

function lacksVerdict({ judgments }: JudgedText): boolean {
  return judgments.some(({ verdict }) => verdict === null);
}

function itemHtml(item: JudgedText, names: readonly string[]): Html {
  const { id, category, turn, question, answers, judgments } = item;
  const verdicts = judgments.map(({ verdict }) => verdict ?? "no verdict").join(", ");
  const about = [`Question ${id}`, ...(category === null ? [] : [category]), `turn ${turn}`].join(", ");
  const head = answers.map((_, i) => html`<th scope="col">${names[i] ?? ""}</th>`);
  const cells = answers.map((answer) => html`<td>${textHtml(answer)}</td>`);
  return html`<details><summary>${`${shownText(about, 200)}: ${verdicts}`}</summary>
<div class="scroll" tabindex="0"><table class="answers"><thead><tr>${head}</tr></thead><tbody>
<tr><th colspan="${answers.length}" scope="rowgroup">${textHtml(question)}</th></tr><tr>${cells}</tr>
${judgments.map((judgment) => judgmentHtml(judgment, names))}</tbody></table></div></details>`;
}

function judgmentHtml({ first, verdict, reason, text }: JudgmentText, names: readonly string[]): Html {
  const order = first === null ? "" : `, ${(first === "A" ? names[0] : names[1]) ?? first} shown first`;
  const result = verdict ?? (reason === "refused" ? "refused" : "no verdict could be read");
  return html`<tr><td colspan="${names.length}"><span class="tag">${`Judge${order}: ${result}`}</span>${textHtml(text)}</td></tr>`;
}

function textHtml(text: string): Html {
  if (text.trim() === "") return html`<span class="tag">empty</span>`;
  return html`<div class="answer">${shownText(text, longestText)}</div>`;
}
