/** Supervised fine-tuning, without hyperparameters. */
import type { Method } from "../method.ts";

/** Settings of an SFT run. */
export interface SftSettings {
  objective: "sft";
}

/** Supervised fine-tuning. */
export const sft: Method<SftSettings> = {
  label: "SFT",
  over: "completions",
  needsReference: false,
  onPolicy: "never",
  learning_rate: { value: 2e-5, source: "TRL" },
  keys: {},
  presets: null,
  metrics: [],
};
