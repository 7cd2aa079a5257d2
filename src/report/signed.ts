/** Shares and changes as reports write them. */
import { formatNumber } from "../base/number-text.ts";

/** A share in per cent with a decimal. */
export function percent(value: number): string {
  return `${(100 * value).toFixed(1)} %`;
}

/** A change in thousandths, with its sign. */
export function signed(value: number): string {
  return `${value > 0 ? "+" : ""}${formatNumber(Number(value.toFixed(3)))}`.replace("-", "−");
}
