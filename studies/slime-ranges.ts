/** The ranges of SLIME's seven values that are searched. */
import type { SearchRange } from "preftune/sweep";
/** SLIME's seven values, by their keys, over what its presets and sense span. */
export const SLIME_RANGES: Readonly<Record<SlimeKey, SearchRange>> = {
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
