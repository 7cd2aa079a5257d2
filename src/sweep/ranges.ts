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

/** SLIME's seven values, by their keys, over what its presets and sense span. */
export const SLIME_RANGES: Readonly<Record<SlimeKey, Range>> = {
  lambda_w: { min: 0.02, max: 2, scale: "log" },
  lambda_l: { min: 1e-4, max: 1, scale: "log" },
  delta: { min: 0.25, max: 4, scale: "linear" },
  margin_hard: { min: 0.5, max: 3, scale: "linear" },
  margin_soft: { min: 0, max: 2, scale: "linear" },
  kappa: { min: 0.5, max: 10, scale: "log" },
  power: { min: 1, max: 4, scale: "linear" },
};

/** One of the seven. */
export type SlimeKey = "lambda_w" | "lambda_l" | "delta" | "margin_hard" | "margin_soft" | "kappa" | "power";
