/** The implied floor of a condition's runs, at the margins that its held-out pairs had before and after training. */
import type { SettingsOf } from "preftune/methods";
import {
  type Estimate,
  estimate,
  intervalText,
  type MeasuredCondition,
  meanInterval,
  promptsOf,
  quantileInterval,
  tableOf,
} from "preftune/sweep";
import { impliedFloor, marginPush } from "./implied-floor.ts";

/** Floors in nats; −∞ where nothing holds rejected tokens. */
export interface Floors {
  first: Estimate;
  last: Estimate;
}

/**
 * The floors at the mean margin before and after training. Their intervals are what the intervals of those margins allow;
 * the floor itself is solved for, not estimated.
 *
 * @param condition - a condition of SLIME with runs
 */
export function floorsOf(condition: MeasuredCondition): Floors {
  const settings = condition.runs[0]?.settings as SettingsOf<"slime">;
  const last = tableOf(condition.runs, "margin");
  const change = tableOf(condition.runs, "margin_change");
  const first = last.map((row, s) => row.map((value, i) => value - (change[s]?.[i] as number)));
  return {
    first: floorOver(settings, meanInterval(first, { prompts: promptsOf(condition.runs) })),
    last: floorOver(settings, estimate(condition, "margin")),
  };
}

/** Points at which the floor is solved for between the ends of the margin's interval: the push has a peak. */
const points = 21;

function floorOver(settings: SettingsOf<"slime">, { value, low, high, ...size }: Estimate): Estimate {
  const floorAt = (margin: number): number => impliedFloor(settings, marginPush(settings, margin));
  const all = Array.from({ length: points }, (_, i) => floorAt(low + ((high - low) * i) / (points - 1)));
  return { value: floorAt(value), low: Math.min(...all), high: Math.max(...all), ...size };
}

/** "−4.2 [−4.4, −4.1]", or "none" */
export function floorText(floor: Estimate): string {
  if (!Number.isFinite(floor.value)) return "none";
  return intervalText(floor, "nats", { isSigned: false, digits: 1 });
}

/** A quantile of the rejected answers' token log-probs at the end, nats. */
export function rejectedQuantile({ runs }: MeasuredCondition, p: number): Estimate {
  return quantileInterval(
    runs.map(({ after }) => after.map(({ rejected }) => rejected)),
    p,
    { draws: 300, prompts: promptsOf(runs) },
  );
}
