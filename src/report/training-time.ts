/** How long a run has trained, from its logged rows. */
import type { MetricRow } from "../runs/metrics.ts";
import { pointsOf } from "./metric-series.ts";

/**
 * Seconds of training up to a step, evaluations and checkpoints left out: `step_time` of a row is the mean over the steps since the row
 * before it. Null where none was logged.
 */
export function trainingSeconds(
  rows: readonly MetricRow[],
  upTo: number = Number.POSITIVE_INFINITY,
): number | null {
  const times = pointsOf(rows, "step_time");
  let before = 0;
  let seconds = 0;
  for (const [step, mean] of times) {
    seconds += Math.max(0, Math.min(step, upTo) - before) * mean;
    before = step;
  }
  return times.length === 0 ? null : seconds;
}
