/** Numbers and times as the page writes them. */
import { formatNumber } from "../../base/number-text.ts";
import type { WireNumber } from "../wire-number.ts";

/** A number with its sign, "–" for none. */
export function signedText(value: WireNumber | null): string {
  if (value === null) return "–";
  if (typeof value === "string") return value;
  return `${value > 0 ? "+" : ""}${formatNumber(value)}`.replace("-", "−");
}

/** A number, "–" for none. */
export function numberText(value: number | null): string {
  return value === null ? "–" : formatNumber(value).replace("-", "−");
}

/** A share as a percentage, "–" for none. */
export function percentText(value: WireNumber | null): string {
  if (value === null) return "–";
  return typeof value === "string" ? value : `${(100 * value).toFixed(1)}\u00a0%`;
}

/** How long ago, in one unit: "12 s ago". */
export function ageText(time: number): string {
  const seconds = Math.max(0, Math.round((Date.now() - time) / 1000));
  if (seconds < 2) return "now";
  const ago = (size: number, unit: string): string => `${Math.round(seconds / size)} ${unit} ago`;
  if (seconds < 100) return ago(1, "s");
  if (seconds < 6000) return ago(60, "min");
  return seconds < 172_800 ? ago(3600, "h") : ago(86_400, "days");
}
