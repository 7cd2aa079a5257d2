/** How far the log-probs of the sampler and of training lie apart on the same weights. */
import { at } from "../base/at.ts";
import { TrainingError } from "../base/errors.ts";
import { describeOrigin } from "../data/example.ts";
import { placesOf, type RolloutGroup } from "./rollout.ts";

/** The difference at one token. */
interface TokenDifference {
  completion: number;
  token: number;
  difference: number;
}

/** Differences over all tokens, nats. */
export interface SamplingDifference {
  mean: number;
  max: number;
  /** Tokens that were compared, and those of them that differ by more than the bound. */
  tokens: number;
  beyond: number;
  /** The tokens that differ most, in falling order: at most {@link named}. */
  worst: TokenDifference[];
}

/** How many tokens an error names. */
const named = 3;

/**
 * Compares completion by completion; those without tokens in training are left out. A NaN is beyond every number.
 *
 * @param most - the bound; null: none
 */
export function samplingDifference(
  sampler: readonly Float32Array[],
  trainer: readonly Float32Array[],
  most: number | null = null,
): SamplingDifference {
  const worst: TokenDifference[] = [];
  let [sum, tokens, beyond] = [0, 0, 0];
  for (const [completion, logps] of trainer.entries()) {
    const sampled = at(sampler, completion);
    for (let token = 0; token < logps.length; token++) {
      const difference = Math.abs(at(logps, token) - at(sampled, token));
      sum += difference;
      tokens += 1;
      if (most !== null && !(difference <= most)) beyond += 1;
      note(worst, { completion, token, difference });
    }
  }
  return { mean: tokens === 0 ? 0 : sum / tokens, max: worst[0]?.difference ?? 0, tokens, beyond, worst };
}

/** Puts `found` in its place among the worst, behind its equals. */
function note(worst: TokenDifference[], found: TokenDifference): void {
  const { difference } = found;
  const isBeyond = (other: number) => !Number.isNaN(other) && !(difference <= other);
  const place = worst.findIndex((other) => isBeyond(other.difference));
  if (place >= 0) worst.splice(place, 0, found);
  else if (worst.length < named) worst.push(found);
  if (worst.length > named) worst.pop();
}

/**
 * The metrics of the difference.
 *
 * @param logps - training's, of the first completions of the groups or of all
 * @param most - the bound; null: none
 * @throws {TrainingError} naming the tokens that differ most, if a token differs by more
 */
export function differenceMetrics(
  groups: readonly RolloutGroup[],
  logps: readonly Float32Array[],
  most: number | null,
): Record<string, number> {
  const places = placesOf(groups);
  const sampler = places.map(({ completion }) => completion.logps);
  const found = samplingDifference(sampler, logps, most);
  if (found.beyond > 0) {
    const tokens = found.worst.slice(0, found.beyond).map(({ completion: c, token: t }) => {
      const { example, completion, number } = at(places, c);
      return (
        `${describeOrigin(example.origin)}, completion ${number}, token ${t + 1} (id ${at(completion.ids, t)}): ` +
        `${at(completion.logps, t)} in sampling, ${at(at(logps, c), t)} in training`
      );
    });
    throw new TrainingError(
      `the log-probs of ${found.beyond} of ${found.tokens} tokens in sampling and in training, on the same weights, differ by more than ` +
        `max_sampling_logp_difference ${most}; most of all ${tokens.join("; ")}. The ratio of the two would be noise. ` +
        "Compute in float32 (dtype: float32), or raise the bound.",
    );
  }
  return {
    "sampling/sampling_logp_difference/mean": found.mean,
    "sampling/sampling_logp_difference/max": found.max,
  };
}
