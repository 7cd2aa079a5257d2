/** Dynamic sampling: groups from which nothing is learned are replaced by others. */
import { at } from "../base/at.ts";
import type { FunctionScores, Unscored } from "../rewards/scored-completions.ts";
import type { ScoredGroups } from "./scored-rollout.ts";

/** `scored` with the groups at `places` replaced by those of `other`, which are as large. */
export function replaced(scored: ScoredGroups, places: readonly number[], other: ScoredGroups): ScoredGroups {
  const sources = sourcesOf(scored, places, other);
  const pick = <T>(own: readonly T[], others: readonly T[]): T[] =>
    sources.map(({ isOther, index }) => at(isOther ? others : own, index));
  return {
    groups: scored.groups.map((group, g) => {
      const i = places.indexOf(g);
      return i < 0 ? group : at(other.groups, i);
    }),
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

/** For each completion of the result, in which of the two rollouts it is, and where. */
function sourcesOf(
  scored: ScoredGroups,
  places: readonly number[],
  other: ScoredGroups,
): { isOther: boolean; index: number }[] {
  let own = 0;
  const otherStarts: number[] = [];
  let start = 0;
  for (const { completions } of other.groups) {
    otherStarts.push(start);
    start += completions.length;
  }
  return scored.groups.flatMap(({ completions }, g) => {
    const first = own;
    own += completions.length;
    const i = places.indexOf(g);
    const begin = i < 0 ? first : at(otherStarts, i);
    return completions.map((_, k) => ({ isOther: i >= 0, index: begin + k }));
  });
}

/** Why each completion has no score; null for those that have one. */
function reasonsOf({ values, unscored }: FunctionScores): (Unscored | null)[] {
  const reasons = values.map((): Unscored | null => null);
  for (const one of unscored) reasons[one.completion] = one;
  return reasons;
}
