/** Learning-rate schedules with warm-up, by transformers' names and formulas. */

/** Shapes of the schedule after the warm-up. */
export type ScheduleKind = "linear" | "cosine" | "constant";

/** A schedule over a run. */
export interface ScheduleOptions {
  kind: ScheduleKind;
  warmupSteps: number;
  totalSteps: number;
}

/**
 * The factor on the learning rate for the update after `step` finished steps (0 for the first).
 *
 * Warm-up: step / warmupSteps. Then linear: (total − step)/(total − warmup); cosine: ½(1 + cos π·progress); constant: 1.
 */
export function scheduleFactor(step: number, { kind, warmupSteps, totalSteps }: ScheduleOptions): number {
  if (step < warmupSteps) return step / Math.max(1, warmupSteps);
  if (kind === "constant") return 1;
  const rest = Math.max(1, totalSteps - warmupSteps);
  if (kind === "linear") return Math.max(0, (totalSteps - step) / rest);
  const progress = Math.min(1, (step - warmupSteps) / rest);
  return Math.max(0, 0.5 * (1 + Math.cos(Math.PI * progress)));
}
