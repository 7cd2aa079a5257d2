/** What the model answers to the watched prompts, at the start and later, side by side. The text is a model's: hostile. */
import type { EvaluationRecord, RecordedAnswer } from "../runs/evaluation-records.ts";
import { cellText, type Html, html, shownText } from "./html.ts";

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
  const rows = first.samples.map(({ prompt }, i) => {
    const cells = columns.map((column) => html`<td>${answers(column.samples[i], prompt)}</td>`);
    const asked = html`<th colspan="${columns.length}" scope="rowgroup"><div class="answer">${shownText(prompt, longestText)}</div></th>`;
    return html`<tbody><tr>${asked}</tr><tr>${cells}</tr></tbody>`;
  });
  const table = (part: readonly Html[]): Html =>
    html`<div class="scroll"><table class="answers"><thead><tr>${head}</tr></thead>${part}</table></div>`;
  const more = rows.slice(shownPrompts);
  const rest =
    more.length === 0
      ? html``
      : html`<details><summary>${more.length} more prompts</summary>${table(more)}</details>`;
  return html`${table(rows.slice(0, shownPrompts))}${rest}`;
}

/** The answers of one evaluation; a file that was changed by hand may lack the prompt. */
function answers(sample: EvaluationRecord["samples"][number] | undefined, prompt: string): Html {
  if (sample === undefined || sample.prompt !== prompt) return html`–`;
  const [first, ...others] = sample.answers.map(answerHtml);
  if (others.length === 0) return first ?? html`–`;
  return html`${first ?? null}<details><summary>${others.length} more</summary>${others}</details>`;
}

function answerHtml({ text, ended, reward }: RecordedAnswer): Html {
  const given = reward === undefined ? [] : [reward === null ? "no reward" : `reward ${cellText(reward)}`];
  const said = [...given, ...(ended ? [] : ["cut at the length limit"])];
  const tag = said.length === 0 ? html`` : html`<span class="tag">${said.join(", ")}</span>`;
  if (text === "") return html`<span class="tag">empty</span>${tag}`;
  return html`<div class="answer">${shownText(text, longestText)}</div>${tag}`;
}
