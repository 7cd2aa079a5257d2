/**
 * Which condition gains most in both, likelihood and margin: by the smaller of the two gains. Chosen on one half of the
 * held-out pairs and told on the other, as the best of many is partly the luckiest.
 */
import {
  type FigureName,
  half,
  type Interval,
  type MeasuredCondition,
  meanInterval,
  plainMean,
  tableOf,
} from "preftune/sweep";
/** The condition that was chosen, and its gains on the pairs that had no part in the choice. */
export interface BothGains {
  name: string;
  chosen: Interval;
  margin: Interval;
}

const gains = ["chosen_change", "margin_change"] as const satisfies readonly FigureName[];

/** The best of `conditions`; null when none has runs. */
export function bestOfBoth(conditions: readonly MeasuredCondition[]): BothGains | null {
  let best: { one: MeasuredCondition; gain: number } | null = null;
  for (const one of conditions) {
    const gain = Math.min(...gains.map((figure) => plainMean(half(tableOf(one.runs, figure), 0))));
    if (Number.isFinite(gain) && (best === null || gain > best.gain)) best = { one, gain };
  }
  if (best === null) return null;
  const { one } = best;
  const [chosen, margin] = gains.map((figure) => meanInterval(half(tableOf(one.runs, figure), 1)));
  return { name: one.name, chosen: chosen as Interval, margin: margin as Interval };
}
