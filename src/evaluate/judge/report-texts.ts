/** The part of a judge's report that is read: questions, answers and judgments. All of it is models' text: hostile. */
import { type Html, html, shownText } from "../../report/html.ts";
import type { JudgedText, JudgmentText } from "./judged-texts.ts";

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
<div class="scroll"><table class="answers"><thead><tr>${head}</tr></thead><tbody>
<tr><th colspan="${answers.length}" scope="rowgroup">${textHtml(question)}</th></tr><tr>${cells}</tr>
${judgments.map((judgment) => judgmentHtml(judgment, names))}</tbody></table></div></details>`;
}

function judgmentHtml({ first, verdict, reason, text }: JudgmentText, names: readonly string[]): Html {
  const order = first === null ? "" : `, ${(first === "A" ? names[0] : names[1]) ?? first} shown first`;
  const said = verdict ?? (reason === "refused" ? "refused" : "no verdict could be read");
  return html`<tr><td colspan="${names.length}"><span class="tag">${`Judge${order}: ${said}`}</span>${textHtml(text)}</td></tr>`;
}

function textHtml(text: string): Html {
  if (text.trim() === "") return html`<span class="tag">empty</span>`;
  return html`<div class="answer">${shownText(text, longestText)}</div>`;
}
