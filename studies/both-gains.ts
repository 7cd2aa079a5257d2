/**
 * Which condition gains most in both, likelihood and margin: by the smaller of the two gains. Chosen on one half of the
 * held-out pairs and told on the other, as the best of many is partly the luckiest.
 */
import type { Interval } from "../src/sweep/bootstrap.ts";
import { half, meanInterval, plainMean } from "../src/sweep/estimates.ts";
import { type FigureName, tableOf } from "../src/sweep/figures.ts";
import type { MeasuredCondition } from "../src/sweep/measured.ts";

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
