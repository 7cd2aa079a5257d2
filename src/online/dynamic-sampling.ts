/** Dynamic sampling: groups from which nothing is learned are replaced by others. */
import { at } from "../base/at.ts";
import { inGroups } from "../methods/advantages.ts";
import type { FunctionScores, Unscored } from "../rewards/scored-completions.ts";
import { sizesOf } from "./rollout.ts";
import type { ScoredGroups } from "./scored-rollout.ts";

/** `scored` with the groups at `places` replaced by those of `other`, which are as large. */
export function replaced(scored: ScoredGroups, places: readonly number[], other: ScoredGroups): ScoredGroups {
  const merged = <T>(own: readonly T[], others: readonly T[]): T[] =>
    own.map((value, g) => {
      const i = places.indexOf(g);
      return i < 0 ? value : at(others, i);
    });
  const pick = <T>(own: readonly T[], others: readonly T[]): T[] =>
    merged(inGroups(own, sizesOf(scored.groups)), inGroups(others, sizesOf(other.groups))).flatMap(
      (group) => group,
    );
  return {
    groups: merged(scored.groups, other.groups),
    rewards: pick(scored.rewards, other.rewards),
    scores: {
      functions: scored.scores.functions.map((own, f): FunctionScores => {
        const others = at(other.scores.functions, f);
        const reasons = pick(reasonsOf(own), reasonsOf(others));
        return {
          name: own.name,
          values: pick(own.values, others.values),
          unscored: reasons.flatMap((reason, completion) =>
            reason === null ? [] : [{ ...reason, completion }],
          ),
          seconds: own.seconds + others.seconds,
        };
      }),
    },
  };
}

/** Why each completion has no score; null for those that have one. */
function reasonsOf({ values, unscored }: FunctionScores): (Unscored | null)[] {
  const reasons = values.map((): Unscored | null => null);
  for (const one of unscored) reasons[one.completion] = one;
  return reasons;
}
