/** Metrics with their intervals as text, for the terminal and for tables of the report. */
import type { Estimate } from "../stats/crossed-bootstrap.ts";
import type { MetricUnit } from "./trial-metrics.ts";

/** How numbers are written. */
export interface NumberForm {
  /** With a plus; default for nats per token, which are changes. */
  isSigned?: boolean;
  /** Behind the point; default 2 for shares, 1 for tokens, else 3. */
  digits?: number;
}

/** "+0.203 [+0.159, +0.252]" for changes, "0.86 [0.80, 0.91]" for shares; "–" where there is none. */
export function intervalText(
  { value, low, high }: Estimate,
  unit: MetricUnit,
  { isSigned = unit === "nats/token", digits = digitsOf(unit) }: NumberForm = {},
): string {
  if (!Number.isFinite(value)) return "–";
  const text = (x: number): string => numberText(x, digits, isSigned);
  // it may wrap before the bracket, not inside
  return `${text(value)} [${text(low)},\u00a0${text(high)}]`;
}

function digitsOf(unit: MetricUnit): number {
  if (unit === "tokens") return 1;
  return unit === "share" ? 2 : 3;
}

/** What the interval rests on: "3 × 160", "3 × 400 of 40 prompts". */
export function countText({ seeds, pairs, prompts }: Pick<Estimate, "seeds" | "pairs" | "prompts">): string {
  return `${seeds} × ${pairs}${prompts === undefined ? "" : ` of ${prompts} prompts`}`;
}

/** A number with a true minus and, if asked, a plus. */
export function numberText(value: number, digits: number, isSigned = false): string {
  if (!Number.isFinite(value)) return "–";
  const text = Math.abs(value).toFixed(digits);
  if (Number(text) === 0) return text;
  return `${value < 0 ? "−" : isSigned ? "+" : ""}${text}`;
}
