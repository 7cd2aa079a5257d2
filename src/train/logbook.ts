/** Averages of step metrics over the logging window, and the rows made of them. */
import type { MetricRow } from "../runs/metrics.ts";
import { emptyWindow, type TrainerState } from "./checkpoint.ts";
import type { StepResult } from "./step.ts";

/** What a row says besides the averages. */
export interface RowFacts {
  step: number;
  epoch: number;
  learningRate: number;
  /** The step source's own. */
  sourceMetrics: Readonly<Record<string, number>>;
  peakMemoryBytes: number;
}

/**
 * Gathers steps until the next row. The window lives in the trainer's state, so a resumed run's rows are the same.
 *
 * A metric's average is over the steps that have a number for it; NaN where none has. `loss` and `grad_norm` are of every
 * step: one that was not finite must be seen.
 */
export class Logbook {
  readonly #state: TrainerState;
  /** Since when time counts for the next step. */
  #since: number = performance.now();
  /** What this process measured of the window: pauses are left out, and steps before a resume. */
  #measured = { seconds: 0, steps: 0, tokens: 0 };

  constructor(state: TrainerState) {
    this.#state = state;
  }

  /** Counts a step into the window. */
  add(result: StepResult): void {
    const { window } = this.#state;
    this.#state.skippedInRow = result.skipped === "not finite" ? this.#state.skippedInRow + 1 : 0;
    if (result.skipped !== null) this.#state.skippedSteps += 1;
    window.steps += 1;
    const now = performance.now();
    this.#measured.seconds += (now - this.#since) / 1000;
    this.#since = now;
    this.#measured.steps += 1;
    this.#measured.tokens += result.tokens;
    this.#state.numTokens += result.tokens;
    this.#count("loss", result.loss);
    this.#count("grad_norm", result.gradNorm);
    for (const [name, value] of Object.entries(result.metrics)) {
      if (Number.isNaN(value)) this.#count(name, 0, 0);
      else this.#count(name, value);
    }
  }

  #count(name: string, value: number, times = 1): void {
    const { sums, counts } = this.#state.window;
    sums[name] = (sums[name] ?? 0) + value;
    counts[name] = (counts[name] ?? 0) + times;
  }

  /** The averages since the last row; the window is empty then. */
  row(facts: RowFacts): MetricRow {
    const { window } = this.#state;
    const averages = Object.fromEntries(
      Object.entries(window.sums).map(([name, sum]) => [name, sum / (window.counts[name] ?? Number.NaN)]),
    );
    const { seconds, steps, tokens } = this.#measured;
    const row: MetricRow = {
      global_step: facts.step,
      epoch: facts.epoch,
      ...averages,
      learning_rate: facts.learningRate,
      num_tokens: this.#state.numTokens,
      ...facts.sourceMetrics,
      skipped_steps: this.#state.skippedSteps,
      tokens_per_second: tokens / seconds,
      step_time: seconds / steps,
      peak_memory_bytes: facts.peakMemoryBytes,
    };
    this.#measured = { seconds: 0, steps: 0, tokens: 0 };
    this.#state.window = emptyWindow();
    return row;
  }

  /** Ends a pause: what happened since the last step was not training. */
  restart(): void {
    this.#since = performance.now();
  }
}
