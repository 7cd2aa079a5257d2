/** A mean and its interval by Student's t. */
import { studentQuantile } from "./student.ts";

/** Mean of some values with its 95 % interval. */
export interface MeanInterval {
  mean: number;
  low: number;
  high: number;
}

/** The mean of `values` and the 95 % interval of Student's t; bounds that are NaN for fewer than two values. */
export function meanInterval(values: readonly number[]): MeanInterval {
  const count = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / count;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (count - 1);
  const half = studentQuantile(0.975, count - 1) * Math.sqrt(variance / count);
  return { mean, low: mean - half, high: mean + half };
}

/**
 * The mean of each group's values, groups in the order in which they first come. Values of one group are drawn together, so an interval
 * is over groups.
 *
 * @param groups - the group of each value
 */
export function groupMeans(values: readonly number[], groups: readonly unknown[]): number[] {
  const byGroup = Map.groupBy(values.keys(), (i) => groups[i]);
  return [...byGroup.values()].map(
    (places) => places.reduce((sum, i) => sum + (values[i] ?? Number.NaN), 0) / places.length,
  );
}
