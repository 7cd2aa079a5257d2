/** Likelihood displacement in words: a margin won by both answers falling, with how sure that is. */
import type { EvaluationRecord } from "../runs/evaluation-records.ts";
import type { MetricRow } from "../runs/metrics.ts";
import { pointsOf } from "./metric-series.ts";
import { pairInterval } from "./pair-interval.ts";
import { signed } from "./signed.ts";

/** How sure that is by the held-out pairs of the last evaluation that kept them; "" with fewer than two. */
function sureText(evaluations: readonly EvaluationRecord[]): string {
  const last = evaluations.findLast(({ pair_changes: all }) => all.length > 1);
  if (last === undefined) return "";
  const { mean, low, text } = pairInterval(last, ([chosen, rejected]) => chosen - rejected);
  const sure = low > 0 || Number.isNaN(low) ? "" : ", which holds 0: more pairs would tell whether it grew";
  const own = pairInterval(last, ([chosen]) => chosen);
  const fell =
    own.low <= 0 && own.high >= 0
      ? ` The chosen answers changed by ${signed(own.mean)}, ${own.text}, which holds 0: more pairs would tell whether they fell.`
      : "";
  return ` The margin changed by ${signed(mean)} nats per token, ${text}${sure}.${fell}`;
}

/** Says so when the margin is won by both answers falling, on held-out rows. */
export function displacementNote(
  rows: readonly MetricRow[],
  evaluations: readonly EvaluationRecord[],
): string | null {
  const last = (key: string): number => pointsOf(rows, key).at(-1)?.[1] ?? Number.NaN;
  const chosen = last("eval_logps/chosen_delta_init");
  const rejected = last("eval_logps/rejected_delta_init");
  if (!(chosen < 0 && rejected < chosen)) return null;
  return (
    `Likelihood displacement: on held-out rows the margin grew while both answers became less likely ` +
    `(chosen ${signed(chosen)}, rejected ${signed(rejected)} since the start).${sureText(evaluations)}`
  );
}
