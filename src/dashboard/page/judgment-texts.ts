/** What people and judges said, in words and figures. */
import type { Share, WithOthers } from "../../workbench/people.ts";

/** A report as it arrives: JSON has no NaN, which becomes null. */
export type Sent<T> = T extends number
  ? number | null
  : T extends object
    ? { [K in keyof T]: Sent<T[K]> }
    : T;

/** Verdicts as words. */
export const verdictWords: Readonly<Record<string, string>> = {
  a: "the first",
  b: "the second",
  tie: "equal",
  bad: "both bad",
  skip: "skipped",
};

/** Two decimals, a dash for none. */
export function valueText(value: number | null): string {
  return value === null ? "–" : value.toFixed(2).replace("-", "−");
}

/** An interval in brackets. */
export function intervalText({ low, high }: { low: number | null; high: number | null }): string {
  return `[${valueText(low)}, ${valueText(high)}]`;
}

/** A share with its interval. */
export function shareText({ share: value, of, low, high }: Sent<Share>): string {
  return value === null || of === 0 ? "–" : `${valueText(value)} ${intervalText({ low, high })} of ${of}`;
}

/** Kappa with its interval, which takes 20 common pairs. */
export function kappaText(kappa: Sent<WithOthers> | null): string {
  if (kappa === null) return "–";
  const { value, low, units } = kappa;
  const interval = low === null ? "(too few for an interval)" : intervalText(kappa);
  return `${valueText(value)} ${interval} on ${units} pairs`;
}
