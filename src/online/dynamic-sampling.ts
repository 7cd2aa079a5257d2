/** Dynamic sampling: groups from which nothing is learned are replaced by others. */
import { at } from "../base/at.ts";
import { inGroups } from "../methods/advantages.ts";
import type { FunctionScores, Unscored } from "../rewards/scored-completions.ts";
import { sizesOf } from "./rollout.ts";
import type { ScoredGroups } from "./scored-rollout.ts";

/** `scored` with the groups at `places` replaced by those of `other`, which are as large. What failed of them is kept. */
export function replaced(scored: ScoredGroups, places: readonly number[], other: ScoredGroups): ScoredGroups {
  const merged = <T>(own: readonly T[], others: readonly T[]): T[] =>
    own.map((value, g) => {
      const i = places.indexOf(g);
      return i < 0 ? value : at(others, i);
    });
  const pick = <T>(own: readonly T[], others: readonly T[]): T[] =>
    merged(inGroups(own, sizesOf(scored.groups)), inGroups(others, sizesOf(other.groups))).flat();
  return {
    groups: merged(scored.groups, other.groups),
    rewards: pick(scored.rewards, other.rewards),
    scores: {
      functions: scored.scores.functions.map((own, f): FunctionScores => {
        const others = at(other.scores.functions, f);
        const before = reasonsOf(own);
        const failed = inGroups(before, sizesOf(scored.groups))
          .flatMap((group, g) => (places.includes(g) ? group : []))
          .filter((one) => one !== null)
          .filter(({ reason }) => reason !== "null");
        return {
          ...own,
          values: pick(own.values, others.values),
          unscored: pick(before, reasonsOf(others)).flatMap((reason, completion) =>
            reason === null ? [] : [{ ...reason, completion }],
          ),
          redrawn: [...(own.redrawn ?? []), ...failed],
          seconds: own.seconds + others.seconds,
          ...judgeCounts(own, others),
        };
      }),
    },
  };
}

/** A judge's counts over both draws. */
function judgeCounts(own: FunctionScores, other: FunctionScores): Partial<FunctionScores> {
  const [a, b] = [own.noVerdict, other.noVerdict];
  return {
    ...(own.retries === undefined ? {} : { retries: own.retries + (other.retries ?? 0) }),
    ...(a === undefined || b === undefined
      ? {}
      : { noVerdict: { count: a.count + b.count, such: a.such === "" ? b.such : a.such } }),
  };
}

/** Why each completion has no score; null for those that have one. */
function reasonsOf({ values, unscored }: FunctionScores): (Unscored | null)[] {
  const reasons = values.map((): Unscored | null => null);
  for (const one of unscored) reasons[one.completion] = one;
  return reasons;
}
