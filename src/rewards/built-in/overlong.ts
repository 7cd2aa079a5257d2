/** The built-in reward `overlong`. */
import type { RewardOptions } from "../../config/reward-specs.ts";
import type { RewardFunction } from "../reward-function.ts";

/**
 * Soft overlong punishment: 0 up to `max_completion_length − soft_punish_cache` tokens, from there falling linearly to −1 at
 * `max_completion_length`. As TRL's get_soft_overlong_punishment. `soft_punish_cache` is a fifth of the length unless given, as in
 * the paper's runs.
 *
 * Paper: DAPO (arXiv:2503.14476), equation 13.
 */
export function overlongReward({
  max_completion_length: longest = Number.POSITIVE_INFINITY,
  soft_punish_cache: cache = Math.floor(longest / 5),
}: RewardOptions): RewardFunction {
  return ({ completion_ids: all }) =>
    all.map(({ length }) => {
      const over = length - (longest - cache);
      if (over <= 0) return 0;
      return length > longest ? -1 : -over / cache;
    });
}
