/** The scores of a rollout, by reward function, and their weighted sum. */

/** Why a completion has no score from a function. */
export interface Unscored {
  /** Its place among the completions, from 0. */
  completion: number;
  /** `null`: the function said so; `not_finite`: NaN or infinite; `error`: a throw or the end of its process. */
  reason: "null" | "not_finite" | "error" | "timeout";
  /** What was thrown, or how the process ended; empty for the other reasons. */
  message: string;
}

/** What one reward function gave for N completions. */
export interface FunctionScores {
  name: string;
  /** (N) Null where there is no score. */
  values: readonly (number | null)[];
  /** Each completion without a score, in order. */
  unscored: readonly Unscored[];
  /** Failures of completions that were drawn again, each at the place of the one that is there now; left out: none. */
  redrawn?: readonly Unscored[];
  /** Of a judge: questions that it gave no verdict on; `such`: the first one's pair and the judge's words, "" where there is none. */
  noVerdict?: { count: number; such: string };
  /** Time that its calls took, added up over the worker processes. */
  seconds: number;
  /** Of a judge: requests that were sent again, because no answer came or the endpoint asked for it. */
  retries?: number;
}

/** The scores of N completions, in the order of the reward functions. */
export interface ScoredCompletions {
  functions: readonly FunctionScores[];
}

/** How many completions have no score from a function, by reason; failures of those that were drawn again included. */
export function unscoredCounts({
  unscored,
  redrawn = [],
}: Pick<FunctionScores, "unscored" | "redrawn">): Record<Unscored["reason"], number> {
  const counts = { null: 0, not_finite: 0, error: 0, timeout: 0 };
  for (const { reason } of [...redrawn, ...unscored]) counts[reason]++;
  return counts;
}

/**
 * (N) The sum of weight times score over the functions that gave one, as TRL's nansum; NaN, unscorable, where none did, or where one
 * of some weight failed: a function that says `null` has nothing to say, one that fails leaves the sum unknown.
 *
 * @param weights - one for each function
 */
export function totalRewards({ functions }: ScoredCompletions, weights: readonly number[]): number[] {
  if (weights.length !== functions.length) {
    throw new RangeError(
      `expected ${functions.length} weights, one for each reward function, got ${weights.length}`,
    );
  }
  const count = functions[0]?.values.length ?? 0;
  const failed = new Set(
    functions.flatMap(({ unscored }, f) =>
      weights[f] === 0
        ? []
        : unscored.flatMap(({ completion, reason }) => (reason === "null" ? [] : [completion])),
    ),
  );
  return Array.from({ length: count }, (_, i) => {
    const terms = functions.flatMap(({ values }, f) => {
      const value = values[i] ?? null;
      return value === null ? [] : [(weights[f] ?? 0) * value];
    });
    return terms.length === 0 || failed.has(i) ? Number.NaN : terms.reduce((sum, term) => sum + term, 0);
  });
}
