/** How far the log-probs of the sampler and of the training pass lie apart. */
import { at } from "../base/at.ts";

/** Largest and mean difference over all tokens, nats, and where the largest is. */
export interface SamplingDifference {
  mean: number;
  max: number;
  completion: number;
  token: number;
}

/** Compares completion by completion; those without tokens in training are left out. The first NaN is the largest difference. */
export function samplingDifference(
  sampler: readonly Float32Array[],
  trainer: readonly Float32Array[],
): SamplingDifference {
  const found: SamplingDifference = { mean: 0, max: 0, completion: 0, token: 0 };
  let sum = 0;
  let count = 0;
  for (const [completion, logps] of trainer.entries()) {
    const sampled = at(sampler, completion);
    for (let token = 0; token < logps.length; token++) {
      const difference = Math.abs(at(logps, token) - at(sampled, token));
      sum += difference;
      count += 1;
      // nothing is beyond a NaN: the first one is kept
      if (!Number.isNaN(found.max) && !(difference <= found.max))
        Object.assign(found, { max: difference, completion, token });
    }
  }
  return { ...found, mean: count === 0 ? 0 : sum / count };
}
