/** The batch of the on-policy fixtures as a scored rollout, for tests. */
import type { ScoredRollout } from "../../src/methods/rollout.ts";
import { type OnlineFamily, onlineBatch, totalRewards } from "./online-fixtures.ts";

/** With the file's old log-probs as the sampler's. */
export function fixtureRollout(family: OnlineFamily, given: Partial<ScoredRollout> = {}): ScoredRollout {
  const { completions, groupSizes, reward_weights, max_completion_length } = onlineBatch(family);
  const rewards = completions.map((completion) => completion.rewards);
  return {
    groupSizes,
    rewards: totalRewards(rewards, reward_weights),
    truncated: completions.map(({ ended }) => !ended),
    samplerLogps: completions.map(({ given_old_logps }) => Float32Array.from(given_old_logps)),
    referenceLogps: completions.map(({ given_ref_logps }) => Float32Array.from(given_ref_logps)),
    max_completion_length,
    ...given,
  };
}
