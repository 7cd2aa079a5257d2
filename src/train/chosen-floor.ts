/** A floor under the chosen completions' likelihood: after each step the anchor's weight follows how far they are from it. */
import { join } from "node:path";
import { readTextFile, writeFileAtomic } from "../base/files.ts";
import { parseNumbers, stringifyNumbers } from "../base/json-numbers.ts";
import type { MicroBatch } from "../forward/batch.ts";
import type { MethodSettings } from "../methods/index.ts";
import type { SlimeSettings } from "../methods/slime/settings.ts";
import type { StepResult } from "./step.ts";
import type { EpochSteps, StepSource, TrainingStep } from "./step-source.ts";

/** The floor and how it is held. */
export interface FloorSettings
  extends Pick<
    SlimeSettings,
    "lambda_w" | "floor_gain" | "floor_integral" | "floor_average" | "lambda_w_max"
  > {
  /** Nats per token. */
  chosen_floor: number;
}

/** The floor of a run; null where it has none. */
export function floorOf(method: MethodSettings): FloorSettings | null {
  if (!("chosen_floor" in method) || method.chosen_floor === null) return null;
  return { ...method, chosen_floor: method.chosen_floor };
}

/** What a resumed run continues from. */
export interface FloorState {
  /** Running mean of the chosen completions' change since the start, nats per token. */
  change: number;
  /** What the steps have added up to, lambda_w at the start. */
  integral: number;
}

/** The state before the first step. */
export function firstState({ lambda_w }: Pick<FloorSettings, "lambda_w">): FloorState {
  return { change: 0, integral: lambda_w };
}

/** The anchor's weight in the next step: `integral` + floor_gain · e, between 0 and lambda_w_max, e what is missing to the floor. */
export function weightOf({ change, integral }: FloorState, floor: FloorSettings): number {
  return clamped(integral + floor.floor_gain * (floor.chosen_floor - change), floor);
}

/**
 * The state after a step whose pairs had changed by `change` before it. What is missing is added up, but not while the weight is at its
 * bound and would be pushed beyond it: so it leaves the bound as soon as the lack has gone.
 */
export function nextState(state: FloorState, change: number, floor: FloorSettings): FloorState {
  const { floor_average, floor_integral, lambda_w_max } = floor;
  const mean = (1 - floor_average) * state.change + floor_average * change;
  const missing = floor.chosen_floor - mean;
  const weight = weightOf({ change: mean, integral: state.integral }, floor);
  const isPushed = (weight >= lambda_w_max && missing > 0) || (weight <= 0 && missing < 0);
  return {
    change: mean,
    integral: isPushed ? state.integral : clamped(state.integral + floor_integral * missing, floor),
  };
}

function clamped(weight: number, { lambda_w_max }: FloorSettings): number {
  return Math.max(0, Math.min(lambda_w_max, weight));
}

const STATE = "chosen_floor.json";

/** Steps on rows, each with the anchor's weight as the column `lambda_w`. */
export class FloorSteps implements StepSource {
  readonly totalSteps: number;
  readonly metrics: Readonly<Record<string, number>>;
  readonly #source: EpochSteps;
  readonly #floor: FloorSettings;
  #state: FloorState;

  constructor(source: EpochSteps, floor: FloorSettings) {
    this.totalSteps = source.totalSteps;
    this.metrics = source.metrics;
    this.#source = source;
    this.#floor = floor;
    this.#state = firstState(floor);
  }

  next(step: number): TrainingStep {
    const made = this.#source.next(step);
    const weight = weightOf(this.#state, this.#floor);
    const weighed = (batches: readonly MicroBatch[]) => batches.map((batch) => withWeight(batch, weight));
    return { ...made, batches: weighed(made.batches), singles: () => weighed(made.singles()) };
  }

  /** A step that was skipped, or whose change is no number, leaves the state as it is. */
  stepped(_step: number, { metrics, skipped }: StepResult): Record<string, number> {
    const change = metrics["slime/chosen_change"] ?? Number.NaN;
    if (skipped === null && Number.isFinite(change))
      this.#state = nextState(this.#state, change, this.#floor);
    return {};
  }

  saveInto(dir: string): void {
    writeFileAtomic(join(dir, STATE), `${stringifyNumbers(this.#state)}\n`);
  }

  resumeFrom(dir: string): void {
    this.#state = parseNumbers(readTextFile(join(dir, STATE))) as FloorState;
  }
}

function withWeight(batch: MicroBatch, weight: number): MicroBatch {
  return { ...batch, columns: { ...batch.columns, lambda_w: batch.packed.spans.map(() => weight) } };
}
