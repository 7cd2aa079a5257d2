/** Whether a run's floor under the chosen answers' likelihood held on held-out pairs. */
import type { MetricRow } from "../runs/metrics.ts";
import type { RunView } from "../runs/run-directory.ts";
import { meanInterval } from "../stats/mean-interval.ts";
import type { Finding } from "./finding.ts";
import { pointsOf } from "./metric-series.ts";
import { signed } from "./signed.ts";

/** Says so of a run with `chosen_floor`, with a 95 % interval over the pairs of its last evaluation; nothing of others. */
export function floorFindings({
  run: { config, evaluations },
  rows,
}: {
  run: Pick<RunView, "config" | "evaluations">;
  rows: readonly MetricRow[];
}): Finding[] {
  const { method } = config;
  if (!("chosen_floor" in method) || method.chosen_floor === null) return [];
  const { chosen_floor: floor, lambda_w_max } = method;
  const last = evaluations.findLast(({ pair_changes: pairs }) => pairs.length > 1);
  const unknown = (why: string, remedy: string): Finding[] => {
    const text = `Whether the floor of ${signed(floor)} nats per token held is not known: ${why}.`;
    return [{ severity: "note", text, remedy }];
  };
  if (last === undefined || last.global_step === 0)
    return unknown("no held-out pairs were measured after the start", "Give eval_data or eval_fraction.");
  // changes are from the first evaluation on
  if ((evaluations[0]?.global_step ?? 0) > 0)
    return unknown("held-out pairs were not measured at the start", "Give eval_on_start: true.");
  const { mean, low, high } = meanInterval(last.pair_changes.map(([chosen]) => chosen));
  const said = (verdict: string): string =>
    `The floor of ${signed(floor)} nats per token ${verdict}: at step ${last.global_step} the chosen answers of ${last.pair_changes.length} held-out pairs ` +
    `had changed by ${signed(mean)}, 95 % interval [${signed(low)}, ${signed(high)}].`;
  const more = "More held-out pairs would show it.";
  if (low >= floor) return [{ severity: "note", text: said("held") }];
  if (high >= floor)
    return [{ severity: "note", text: said("held or not, which the pairs do not show"), remedy: more }];
  return [{ severity: "warning", text: said("was missed"), remedy: missedRemedy(rows, lambda_w_max) }];
}

function missedRemedy(rows: readonly MetricRow[], most: number): string {
  const weight = pointsOf(rows, "slime/lambda_w").at(-1)?.[1];
  if (weight !== undefined && weight > 0.9 * most)
    return `The anchor's weight is at its bound: raise lambda_w_max, ${most}, or lower learning_rate.`;
  return "The weight follows over some tens of steps: begin with a larger lambda_w, raise floor_gain, or train for more steps.";
}
