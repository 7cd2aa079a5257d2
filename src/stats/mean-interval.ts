/** A mean and its interval by Student's t. */

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
