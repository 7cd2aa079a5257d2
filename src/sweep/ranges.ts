/** Ranges of numbers that are searched, and the values within them. */

/** From where to where, and on which scale. */
export interface Range {
  min: number;
  max: number;
  scale: "linear" | "log";
}

/** The value at a share 0 … 1 of the way through `range`, to six significant digits. */
export function drawValue({ min, max, scale }: Range, share: number): number {
  const value = scale === "log" ? min * (max / min) ** share : min + share * (max - min);
  return Number(value.toPrecision(6));
}
