/**
 * The spike guard: a step whose loss or gradient norm lies far above those of the steps before it is skipped, as OLMo-core's
 * `SkipStepOptimizer` does (rolling window of 128 steps, from the 64th on, 6 standard deviations).
 *
 * Differs: norms are compared by their logarithms, since they lie around their mean as factors do: 6 deviations of the norms
 * themselves skip one clean step of few rows in two thousand. A spike is left out of the window, so that one does not hide the
 * next. Five in a row are a new level and no spikes: the window begins again.
 */
import { GaveUpError } from "../base/ranks.ts";
import type { SkipReason } from "../runs/train-events.ts";

/** What the guard looks at of a step that is done. */
interface DoneStep {
  loss: number;
  gradNorm: number;
  skipped: SkipReason | null;
}

/** The values of the last steps, oldest first; part of a checkpoint. */
export interface StepHistory {
  losses: number[];
  gradNorms: number[];
  /** Spikes in a row up to now. */
  spikes: number;
}

/** The history of a run that begins. */
export function emptyHistory(): StepHistory {
  return { losses: [], gradNorms: [], spikes: 0 };
}

/**
 * Ends a run after too many steps in a row that were not finite.
 *
 * @param rows - `file:line` of those at fault in the last one
 * @throws {GaveUpError} when `skippedInRow` has reached `max_nonfinite_steps`
 */
export function refuseMoreSkips(
  { step, skippedInRow }: { step: number; skippedInRow: number },
  rows: readonly string[],
  max_nonfinite_steps: number,
): void {
  if (skippedInRow < max_nonfinite_steps) return;
  throw new GaveUpError(
    `${skippedInRow} ${skippedInRow === 1 ? "step" : "steps in a row"} had a loss or gradient that is not finite, the last at step ${step} ` +
      `with ${rows.join(", ")}. No weight was changed by them. Look at these rows and take out what is wrong, or lower ` +
      "learning_rate, and start a new run; the checkpoints of this one are intact, the last of this step.",
  );
}

/** What a step's loss and gradient norm may be at most to be applied. */
export interface StepLimits {
  loss: number;
  gradNorm: number;
}

/** Steps in the window. */
export const spikeWindow = 128;
/** Steps in the window before anything is skipped. */
export const spikeStart: number = spikeWindow / 2;
const spikesOfALevel = 5;

/**
 * Limits of the next step: `sigma` sample standard deviations above the means, of the norms' logarithms; null without `sigma`, or while
 * too few steps are known.
 */
export function limitsOf({ losses, gradNorms }: StepHistory, sigma: number | null): StepLimits | null {
  if (sigma === null || losses.length < spikeStart) return null;
  const logarithms = gradNorms.map((norm) => Math.log(Math.max(norm, Number.MIN_VALUE)));
  return { loss: limit(losses, sigma), gradNorm: Math.exp(limit(logarithms, sigma)) };
}

/** Takes a step into the history; one that was not finite leaves it as it is. */
export function remember(history: StepHistory, { skipped, loss, gradNorm }: DoneStep): void {
  if (skipped === "not finite") return;
  history.spikes = skipped === "spike" ? history.spikes + 1 : 0;
  if (history.spikes === spikesOfALevel) Object.assign(history, emptyHistory());
  if (skipped === "spike") return;
  push(history.losses, loss);
  push(history.gradNorms, gradNorm);
}

function push(values: number[], value: number): void {
  values.push(value);
  if (values.length > spikeWindow) values.shift();
}

function limit(values: readonly number[], sigma: number): number {
  // values that never changed have no deviation to measure a spike by
  if (values.every((value) => value === values[0])) return Number.POSITIVE_INFINITY;
  const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
  const squares = values.reduce((sum, x) => sum + (x - mean) ** 2, 0);
  const deviation = Math.sqrt(squares / (values.length - 1));
  return mean + sigma * deviation;
}
