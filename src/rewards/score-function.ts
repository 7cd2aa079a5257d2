/** Scores the completions of a rollout with one reward function, a group a call, and finds the ones that make it fail. */
import { RewardError } from "./reward-error.ts";
import { describeCompletions, type RewardInput, sliceInput } from "./reward-function.ts";
import type { RewardPool } from "./reward-pool.ts";
import type { CallEnd } from "./reward-worker.ts";
import type { FunctionScores, Unscored } from "./scored-completions.ts";

/** A reward function of a run, as it is called. */
export interface ScoringFunction {
  index: number;
  name: string;
  /** What the user wrote: rewards.ts#brevity. */
  written: string;
  /** Never called with a part of a group. */
  isForGroups: boolean;
  /** Fraction of a rollout's completions that may fail. */
  reward_max_failures: number;
}

/** A rollout to be scored. */
export interface Rollout {
  input: RewardInput;
  /** Completions of each group, in order. */
  groupSizes: readonly number[];
  /** Completions of which `reward_max_failures` is a fraction: these, or more where they are drawn again. */
  rolloutSize: number;
  /** The row of each completion, for messages; left out: not known. */
  origins?: readonly string[] | undefined;
}

/** Scores one rollout with one function. */
export class FunctionScorer {
  readonly #wanted: ScoringFunction;
  readonly #rollout: Rollout;
  readonly #pool: RewardPool;
  readonly #values: (number | null)[];
  readonly #unscored: (Unscored | null)[];
  #failures = 0;
  #seconds = 0;

  constructor(wanted: ScoringFunction, rollout: Rollout, pool: RewardPool) {
    this.#wanted = wanted;
    this.#rollout = rollout;
    this.#pool = pool;
    const count = rollout.input.completions.length;
    this.#values = Array.from({ length: count }, () => null);
    this.#unscored = Array.from({ length: count }, () => null);
  }

  /**
   * The scores. They depend on the completions and their groups alone: not on the number of processes, nor on which is free first.
   *
   * @throws {RewardError} if the function gives what is no list of rewards, or fails for too many completions
   * @throws `signal.reason` when that is aborted
   */
  async score(signal: AbortSignal): Promise<FunctionScores> {
    let first = 0;
    const calls: Promise<void>[] = [];
    for (const size of this.#rollout.groupSizes) {
      calls.push(this.#scorePart(first, first + size, signal));
      first += size;
    }
    await Promise.all(calls);
    return {
      name: this.#wanted.name,
      values: this.#values,
      unscored: this.#unscored.filter((each) => each !== null),
      seconds: this.#seconds,
    };
  }

  /** Scores the completions from `first` to `end`; where that fails, each by itself. */
  async #scorePart(first: number, end: number, signal: AbortSignal): Promise<void> {
    if (first === end) return;
    const { index, isForGroups } = this.#wanted;
    const call = { index, input: sliceInput(this.#rollout.input, first, end) };
    const result = await this.#pool.call(call, signal);
    this.#seconds += result.seconds;
    if (result.type === "values") return this.#keep(first, result.values);
    if (result.type === "invalid") throw this.#invalid(result, first, end);
    if (end - first > 1 && !isForGroups) {
      const completions = Array.from({ length: end - first }, (_, i) => first + i);
      await Promise.all(completions.map((one) => this.#scorePart(one, one + 1, signal)));
      return;
    }
    for (let one = first; one < end; one++) this.#fail(one, faultOf(result));
  }

  #keep(first: number, values: readonly (number | null)[]): void {
    for (const [i, value] of values.entries()) {
      const completion = first + i;
      if (value === null) this.#unscored[completion] = { completion, reason: "null", message: "" };
      else if (Number.isFinite(value)) this.#values[completion] = value;
      else this.#fail(completion, { reason: "not_finite", message: "" });
    }
  }

  #fail(completion: number, fault: Pick<Unscored, "reason" | "message">): void {
    this.#unscored[completion] = { completion, ...fault };
    this.#failures++;
    const { reward_max_failures, written } = this.#wanted;
    const count = this.#rollout.rolloutSize;
    if (this.#failures <= reward_max_failures * count) return;
    const last =
      fault.message === "" ? wordsFor[fault.reason] : `${wordsFor[fault.reason]}: ${fault.message}`;
    throw new RewardError(
      `${written}: failed for more than ${100 * reward_max_failures} % of the ${count} completions (reward_max_failures), ` +
        `such as ${this.#nameOf(completion)}: ${last}. Correct the function, or let it give null where it has no score.`,
    );
  }

  #invalid({ problem, at }: Extract<CallEnd, { type: "invalid" }>, first: number, end: number): RewardError {
    const where = at === null ? this.#nameOf(first, end) : this.#nameOf(first + at);
    return new RewardError(`${this.#wanted.written}: ${problem} for ${where}. Correct the function.`);
  }

  #nameOf(first: number, end?: number): string {
    const { input, origins } = this.#rollout;
    return describeCompletions(input.completions, origins, first, end);
  }
}

const wordsFor: Readonly<Record<Unscored["reason"], string>> = {
  null: "no score",
  not_finite: "NaN or an infinite number",
  error: "an error",
  timeout: "it took longer than reward_timeout",
};

function faultOf(end: CallEnd): Pick<Unscored, "reason" | "message"> {
  if (end.type === "threw") return { reason: "error", message: end.message };
  if (end.type === "ended") return { reason: "error", message: `its process ended ${end.how}` };
  return { reason: "timeout", message: "" };
}
