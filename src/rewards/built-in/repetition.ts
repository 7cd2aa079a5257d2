/** The built-in reward `repetition`. */
import type { RewardOptions } from "../../config/reward-specs.ts";
import { repeatedShare } from "../../text/ngrams.ts";
import type { RewardFunction } from "../reward-function.ts";

/**
 * Minus the fraction of the completion's n-grams of tokens that came before in it: 0 without repetition, towards −1 in a loop; 0
 * for one shorter than `ngram_size`. TRL's get_repetition_penalty_reward with its defaults.
 */
export function repetitionReward({ ngram_size: size = 3 }: RewardOptions): RewardFunction {
  return ({ completion_ids: all }) =>
    all.map((ids) => (ids.length < size ? 0 : 0 - repeatedShare([ids], size)));
}
