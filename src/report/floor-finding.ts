/** Whether a run's floor under the chosen answers' likelihood held on held-out pairs. */
import type { EvaluationRecord } from "../runs/evaluation-records.ts";
import type { MetricRow } from "../runs/metrics.ts";
import type { RunView } from "../runs/run-directory.ts";
import { shownExport } from "./best-evaluation.ts";
import { exportedScale } from "./facts-section.ts";
import type { Finding } from "./finding.ts";
import { pointsOf } from "./metric-series.ts";
import { pairInterval } from "./pair-interval.ts";
import { signed } from "./signed.ts";

/**
 * Says so of a run with `chosen_floor`, with a 95 % interval over the prompts of the evaluation of the step that was exported, or of its
 * last one; nothing of others.
 */
export function floorFindings({ run, rows }: { run: RunView; rows: readonly MetricRow[] }): Finding[] {
  const { config, evaluations } = run;
  const { method } = config;
  if (!("chosen_floor" in method) || method.chosen_floor === null) return [];
  const { chosen_floor: floor, lambda_w_max } = method;
  const unknown = (why: string, remedy: string): Finding[] => {
    const text = `Whether the floor of ${signed(floor)} nats per token held is not known: ${why}.`;
    return [{ severity: "note", text, remedy }];
  };
  const measured = evaluations.filter(
    ({ pair_changes: pairs, pairs_not_finite: ruined = 0 }) => pairs.length + ruined > 1,
  );
  const exported = shownExport(run);
  const judged = measured.findLast(({ global_step: step }) => exported === null || step <= exported);
  if (judged === undefined || judged.global_step === 0)
    return unknown("no held-out pairs were measured after the start", "Give eval_data or eval_fraction.");
  // changes are from the first evaluation on
  if ((evaluations[0]?.global_step ?? 0) > 0)
    return unknown("held-out pairs were not measured at the start", "Give eval_on_start: true.");
  const missed = { severity: "warning", remedy: missedRemedy(rows, lambda_w_max) } as const;
  const said = (verdict: string, how: string): string =>
    `The floor of ${signed(floor)} nats per token ${verdict}: at step ${judged.global_step}${exportText(run, judged, exported)} ${how}.`;
  const { pairs_not_finite: ruined = 0 } = judged;
  if (ruined > 0) {
    const how = `${ruined} of ${judged.pair_changes.length + ruined} held-out pairs have a log-probability that is no finite number`;
    return [{ ...missed, text: said("was missed", how) }];
  }
  const { mean, low, high, text } = pairInterval(judged, ([chosen]) => chosen);
  const how = `chosen answers had changed by ${signed(mean)} on held-out rows, ${text}`;
  if (low >= floor) return [{ severity: "note", text: said("held", how) }];
  if (high < floor) return [{ ...missed, text: said("was missed", how) }];
  return [
    {
      severity: "note",
      text: said("held or not, which the pairs do not show", how),
      remedy: "Held-out pairs of more prompts would show it.",
    },
  ];
}

/** Of which model the verdict is, beside the one that was exported. */
function exportText(run: RunView, { global_step: step }: EvaluationRecord, exported: number | null): string {
  if (exported === null) return "";
  const scale = exportedScale(run) ?? 1;
  const from =
    exported === step ? "which was exported" : `the last before step ${exported}, which was exported`;
  return scale === 1 ? `, ${from},` : `, ${from} at scale ${scale} while this is the whole training,`;
}

function missedRemedy(rows: readonly MetricRow[], most: number): string {
  const weight = pointsOf(rows, "slime/lambda_w").at(-1)?.[1];
  if (weight !== undefined && weight > 0.9 * most)
    return `The anchor's weight is at its bound: raise lambda_w_max, ${most}, or lower learning_rate.`;
  return "The weight follows over some tens of steps: begin with a larger lambda_w, raise floor_gain, or train for more steps.";
}
