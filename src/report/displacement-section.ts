/** Likelihood displacement in words: a margin won by both answers falling, with how sure that is. */

import type { EvaluationRecord } from "../runs/evaluation-records.ts";
import type { MetricRow } from "../runs/metrics.ts";
import { pointsOf } from "./metric-series.ts";
import { signed } from "./signed.ts";

/** Mean of some values with its 95 % interval. */
export interface MeanInterval {
  mean: number;
  low: number;
  high: number;
}

/** 97.5 % point of the normal distribution. */
const normalPoint = 1.959964;

/**
 * The mean of `values` and the 95 % interval of Student's t, whose quantile is taken from the normal one by the first two
 * terms of its expansion (Abramowitz and Stegun 26.7.5). At least two values.
 */
export function meanInterval(values: readonly number[]): MeanInterval {
  const count = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / count;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (count - 1);
  const [z, degrees] = [normalPoint, count - 1];
  const point = z + (z ** 3 + z) / (4 * degrees) + (5 * z ** 5 + 16 * z ** 3 + 3 * z) / (96 * degrees ** 2);
  const half = point * Math.sqrt(variance / count);
  return { mean, low: mean - half, high: mean + half };
}

/** The margin's change over the held-out pairs of the last evaluation that kept them; "" with fewer than two. */
function marginText(evaluations: readonly EvaluationRecord[]): string {
  const pairs = evaluations.findLast(({ pair_changes: all }) => all.length > 1)?.pair_changes ?? [];
  if (pairs.length < 2) return "";
  const { mean, low, high } = meanInterval(pairs.map(([chosen, rejected]) => chosen - rejected));
  const sure = low > 0 ? "" : ", which holds 0: more pairs would tell whether it grew";
  return ` The margin changed by ${signed(mean)} nats per token, 95 % interval [${signed(low)}, ${signed(high)}] over ${pairs.length} pairs${sure}.`;
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
    `(chosen ${signed(chosen)}, rejected ${signed(rejected)} since the start).${marginText(evaluations)}`
  );
}
