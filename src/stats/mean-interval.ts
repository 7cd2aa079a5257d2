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
