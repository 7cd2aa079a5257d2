/** The tokens of chosen answers that lost most, in their answers. The text is of data: hostile. */
import type { EvaluationRecord } from "../runs/evaluation-records.ts";
import { type Html, html, shownText, tableHtml } from "./html.ts";
import type { ShortenPaths } from "./shared-text.ts";
import { signed } from "./signed.ts";

/** Characters of a text that are shown. */
const longestText = 200;

/** A table of the last evaluation's, and whose likelihood is followed besides; nothing where neither is known. */
export function fallenTokens(evaluations: readonly EvaluationRecord[], shorten: ShortenPaths): Html {
  const last = evaluations.findLast(({ other_text: name }) => name !== undefined);
  const { other_text: other, other_text_start: since = 0 } = last ?? {};
  // another text than at the run's start has another start
  const from = since > (evaluations[0]?.global_step ?? 0) ? `, measured from step ${since} on` : "";
  const measured =
    other === undefined
      ? html``
      : html`<p class="soft">Other text: ${shownText(other, longestText)}${from}. drift_data names your text.</p>`;
  const fallen = evaluations.findLast(({ fallen_tokens: all = [] }) => all.length > 0)?.fallen_tokens ?? [];
  if (fallen.length === 0) return measured;
  const rows = fallen.map(({ row, before, token, after, change, logp }) => {
    const place = html`${shownText(before, longestText)}<mark>${shownText(token, longestText)}</mark>${shownText(after, longestText)}`;
    return [signed(change), signed(logp), place, shorten(row)];
  });
  const columns = ["change, nats", "log-prob now", "where", "row"];
  return html`${measured}<details open><summary>Tokens of chosen answers that lost most</summary>${tableHtml({ columns, rows })}</details>`;
}
