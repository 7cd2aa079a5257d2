/** Shares and changes as reports write them. */
import { formatNumber } from "../base/number-text.ts";
import { tickText } from "./axis.ts";

/** A share in per cent with a decimal. */
export function percent(value: number): string {
  return `${(100 * value).toFixed(1)} %`;
}

/** Smaller changes are what rounding leaves of none. */
const leastChange = 1e-7;

/** A change in thousandths, with its sign; one that would be 0 then, by two digits that count. */
export function signed(value: number): string {
  const size = Math.abs(value);
  const isSmall = size >= leastChange && size < 0.0005;
  const shown = Number(isSmall ? value.toPrecision(2) : value.toFixed(3));
  return `${shown > 0 ? "+" : ""}${isSmall ? tickText(shown) : formatNumber(shown)}`.replace("-", "−");
}
