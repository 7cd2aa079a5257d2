/** Learning-rate schedules with warm-up, by transformers' names and formulas. */

/** Shapes of the schedule after the warm-up. */
export type ScheduleKind = "linear" | "cosine" | "constant" | "constant_with_warmup";

/** A schedule over a run. */
export interface ScheduleOptions {
  lr_scheduler_type: ScheduleKind;
  warmup_steps: number;
  totalSteps: number;
}

/** The learning rate's keys of a run's configuration. */
export interface LearningRateOptions {
  learning_rate: number;
  lr_scheduler_type: ScheduleKind;
  /** Fraction of the run's steps; used where `warmup_steps` is 0. */
  warmup_ratio: number;
  warmup_steps: number;
}

/** The learning rate of the update after `step` finished steps of `totalSteps`. */
export function learningRateAt(step: number, totalSteps: number, options: LearningRateOptions): number {
  const { learning_rate, lr_scheduler_type, warmup_ratio } = options;
  const warmup = options.warmup_steps > 0 ? options.warmup_steps : Math.ceil(warmup_ratio * totalSteps);
  return learning_rate * scheduleFactor(step, { lr_scheduler_type, warmup_steps: warmup, totalSteps });
}

/**
 * The factor on the learning rate for the update after `step` finished steps (0 for the first).
 *
 * Warm-up, but for constant: step / warmup_steps. Then linear: (total − step)/(total − warmup); cosine: ½(1 + cos π·progress); 1.
 */
export function scheduleFactor(
  step: number,
  { lr_scheduler_type, warmup_steps, totalSteps }: ScheduleOptions,
): number {
  if (lr_scheduler_type === "constant") return 1;
  if (step < warmup_steps) return step / Math.max(1, warmup_steps);
  if (lr_scheduler_type === "constant_with_warmup") return 1;
  const rest = Math.max(1, totalSteps - warmup_steps);
  if (lr_scheduler_type === "linear") return Math.max(0, (totalSteps - step) / rest);
  const progress = Math.min(1, (step - warmup_steps) / rest);
  return Math.max(0, 0.5 * (1 + Math.cos(Math.PI * progress)));
}
