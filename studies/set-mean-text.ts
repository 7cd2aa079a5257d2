/** Means over training sets, for tables and results. */
import { type Estimate, intervalText, numberText } from "preftune/sweep";
import type { SetMean } from "./analyses/excess.ts";

/** As an estimate; `sets` stand for its seeds and pairs. Without an interval there is no value. */
export function estimateOf({ mean, low, high, sets }: SetMean): Estimate {
  return { value: Number.isFinite(low) ? mean : Number.NaN, low, high, seeds: sets, pairs: sets };
}

/** "+0.010 [−0.017, +0.037]"; a mean without ends of one set alone. */
export function meanText(value: SetMean, digits: number = 3): string {
  return value.sets < 2
    ? numberText(value.mean, digits, true)
    : intervalText(estimateOf(value), "nats/token", { digits });
}
