/** Means of what comes in groups, which are resampled whole: the verdicts on one question, or on one pair of answers. */
import { alikeInterval, type BootstrapOptions, bootstrapInterval, type Interval } from "./bootstrap.ts";

/** A statistic with its interval. */
export interface Statistic {
  value: number;
  interval: Interval;
}

/** What the verdicts or ratings of one group are worth together, and how many they are. */
export interface Worth {
  sum: number;
  count: number;
}

/**
 * The mean worth of verdicts, with an interval over groups: verdicts of one group depend on one another and are resampled
 * together. Where all groups are alike, no resample differs, and the interval is that of {@link alikeInterval}.
 *
 * @param range - what a verdict may be worth
 */
export function meanOverGroups(
  groups: readonly Worth[],
  bootstrap: BootstrapOptions = {},
  range?: Interval,
): Statistic {
  const mean = (draw: Iterable<number>): number => {
    let [sum, count] = [0, 0];
    for (const i of draw) {
      sum += groups[i]?.sum ?? 0;
      count += groups[i]?.count ?? 0;
    }
    return sum / count;
  };
  const value = mean(groups.keys());
  const means = groups.flatMap(({ sum, count }) => (count > 0 ? [sum / count] : []));
  const isAlike = means.length > 0 && means.every((one) => one === means[0]);
  const interval = isAlike
    ? alikeInterval(value, means.length, bootstrap, range)
    : bootstrapInterval(groups.length, mean, bootstrap);
  return { value, interval };
}
