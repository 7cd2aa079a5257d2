/** Numbers as they are sent to a page: JSON has none that are not finite. */

/** A number, or "NaN", "Infinity", "-Infinity". */
export type WireNumber = number | string;

/** A number as it is sent. */
export function wireNumber(value: number): WireNumber {
  return Number.isFinite(value) ? value : String(value);
}
