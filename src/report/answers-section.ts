/** What the model answers to the watched prompts, at the start and later, side by side. The text is a model's: hostile. */
import type { EvaluationRecord, RecordedAnswer } from "../runs/evaluation-records.ts";
import { cellText, Html, html, shownText } from "./html.ts";
import { wordsAgainst } from "./word-diff.ts";

/** Prompts shown at once; the rest folds out. */
const shownPrompts = 4;
/** Characters of a text that are shown. */
const longestText = 1500;

/**
 * Sampled answers side by side: at the first evaluation, at the step that was exported where it is neither first nor last,
 * and at the last one.
 *
 * @param exported - step of the checkpoint that was exported instead of the last state, or null
 * @param also - steps of other evaluations to show
 */
export function answersHtml(
  evaluations: readonly EvaluationRecord[],
  exported: number | null,
  also: readonly number[] = [],
): Html {
  const sampled = evaluations.filter(({ samples }) => samples.length > 0);
  const [first] = sampled;
  const last = sampled.at(-1);
  if (first === undefined || last === undefined) return html``;
  const columns = sampled.filter(
    (one) => one === first || one === last || [exported, ...also].includes(one.global_step),
  );
  const head = columns.map(({ global_step: step }) => {
    const what = step === exported ? ", exported" : "";
    return html`<th scope="col">${`step ${step}${what}`}</th>`;
  });
  const byPrompt = columns.map(({ samples }) => Map.groupBy(samples, ({ prompt }) => prompt));
  // a resumed run may watch other prompts
  const prompts = [...new Set(byPrompt.flatMap((all) => [...all.keys()]))];
  const rows = prompts.map((prompt) => {
    const answers = byPrompt.map((all) => (all.get(prompt) ?? []).flatMap((sample) => sample.answers));
    const [earliest, latest] = [answers.findIndex(isGiven), answers.findLastIndex(isGiven)];
    const cells = answers.map((own, i) => {
      const isLater = i > earliest;
      const against = { texts: answers[isLater ? earliest : latest] ?? [], isLater };
      return html`<td>${answersCell(own, earliest < latest ? against : null)}</td>`;
    });
    const asked = html`<th colspan="${columns.length}" scope="rowgroup"><div class="answer" tabindex="0">${shownText(prompt, longestText)}</div></th>`;
    return html`<tbody><tr>${asked}</tr><tr>${cells}</tr></tbody>`;
  });
  const table = (part: readonly Html[]): Html =>
    html`<div class="scroll" tabindex="0"><table class="answers"><thead><tr>${head}</tr></thead>${part}</table></div>`;
  const more = rows.slice(shownPrompts);
  const rest =
    more.length === 0
      ? html``
      : html`<details><summary>${more.length} more prompts</summary>${table(more)}</details>`;
  return html`${table(rows.slice(0, shownPrompts))}${rest}`;
}

function isGiven(answers: readonly RecordedAnswer[]): boolean {
  return answers.length > 0;
}

/** What an answer is compared with: the answer of the same number, of the first that has the prompt, or of the last. */
interface Against {
  texts: readonly RecordedAnswer[];
  isLater: boolean;
}

function answersCell(answers: readonly RecordedAnswer[], against: Against | null): Html {
  const [first, ...others] = answers.map((answer, i) => {
    const other = against?.texts[i]?.text;
    const marked = other === undefined ? null : { other, isLater: against?.isLater === true };
    return answerHtml(answer, marked);
  });
  if (first === undefined) return html`–`;
  if (others.length === 0) return first;
  return html`${first}<details><summary>${others.length} more</summary>${others}</details>`;
}

/** An answer with what the other lacks marked: in the earlier one as taken out, in the later one as put in. */
function answerHtml(
  { text, ended, reward }: RecordedAnswer,
  marked: { other: string; isLater: boolean } | null,
): Html {
  const given = reward === undefined ? [] : [reward === null ? "no reward" : `reward ${cellText(reward)}`];
  const said = [...given, ...(ended ? [] : ["cut at the length limit"])];
  const tag = said.length === 0 ? html`` : html`<span class="tag">${said.join(", ")}</span>`;
  if (text === "") return html`<span class="tag">empty</span>${tag}`;
  return html`<div class="answer" tabindex="0">${markedText(shownText(text, longestText), marked)}</div>${tag}`;
}

function markedText(text: string, marked: { other: string; isLater: boolean } | null): Html {
  const pieces = marked === null ? null : wordsAgainst(text, shownText(marked.other, longestText));
  if (pieces === null) return html`${text}`;
  const parts = pieces.map(({ text: piece, isOwn }) => {
    if (!isOwn || piece.trim() === "") return html`${piece}`.text;
    return (marked?.isLater === true ? html`<ins>${piece}</ins>` : html`<del>${piece}</del>`).text;
  });
  return new Html(parts.join(""));
}

/** One prompt, and what several models answered to it. */
export interface AnswersOfModels {
  prompt: string;
  /** In the order of the columns; null where a model was not asked. */
  answers: readonly (RecordedAnswer | null)[];
}

/**
 * What several models answered, a column each; words that the first column's answer lacks are marked in the others.
 *
 * @param names - of the columns
 */
export function modelAnswersHtml(names: readonly string[], asked: readonly AnswersOfModels[]): Html {
  if (asked.length === 0) return html``;
  const head = names.map((name) => html`<th scope="col">${name}</th>`);
  const bodies = asked.map(({ prompt, answers }) => {
    const first = answers[0]?.text;
    const cells = answers.map((answer, i) => {
      if (answer === null) return html`<td>–</td>`;
      const marked = i === 0 || first === undefined ? null : { other: first, isLater: true };
      return html`<td>${answerHtml(answer, marked)}</td>`;
    });
    return html`<tbody><tr><th colspan="${names.length}" scope="rowgroup"><div class="answer" tabindex="0">${shownText(prompt, longestText)}</div></th></tr><tr>${cells}</tr></tbody>`;
  });
  return html`<div class="scroll" tabindex="0"><table class="answers"><thead><tr>${head}</tr></thead>${bodies}</table></div>`;
}
