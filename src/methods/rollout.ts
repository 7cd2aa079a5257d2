/** What an objective is given of the answers that the model itself gave: plain numbers, before any loss. No libtorch. */
import { ShapeError } from "../base/errors.ts";

/** The scored answers of a rollout: N completions in G groups, those of a prompt together. */
export interface ScoredRollout {
  /** Completions of each group. */
  groupSizes: readonly number[];
  /** (N) Weighted sum of the rewards; NaN where no reward function gave a number: the completion is unscorable. */
  rewards: readonly number[];
  /** (N) Whether the completion was cut at the longest length, and so has no end token. */
  truncated: readonly boolean[];
  /** (N) Whether the loss leaves the completion's tokens out, as `mask_truncated_completions` does cut ones; left out: none. */
  masked?: readonly boolean[];
  /** N times (tokens): log-probs under the distribution that each token was drawn from, nats, the end token included. */
  samplerLogps: readonly Float32Array[];
  /** The same by training's own pass, before the first update, which a KL in the reward is of; left out: `samplerLogps`. */
  policyLogps?: readonly Float32Array[];
  /** The same under the reference; null where there is none. */
  referenceLogps: readonly Float32Array[] | null;
  /** The longest that a completion may be, tokens (`max_completion_length`). */
  max_completion_length: number;
  /** N times (tokens): what a value model expects of the completion from the state before each token; where there is one. */
  values?: readonly Float32Array[];
}

/**
 * The rollout's log-probs under the reference.
 *
 * @param key - what needs them, for the message
 * @throws {ShapeError} if there are none
 */
export function referenceOf({ referenceLogps }: ScoredRollout, key: string): readonly Float32Array[] {
  if (referenceLogps !== null) return referenceLogps;
  throw new ShapeError(
    `${key} needs log-probs under a reference for each completion of the rollout and got none: compute them, or do without ${key}`,
  );
}

/** Columns for an objective: a number for each completion, or an array for each with a number for each of its tokens. */
export type RolloutColumns = Readonly<Record<string, readonly number[] | readonly Float32Array[]>>;

/** What an objective makes of a rollout before the first update. */
export interface PreparedRollout {
  columns: RolloutColumns;
  /** Averages over the rollout, logged with each of its steps. */
  metrics: Readonly<Record<string, number>>;
}
