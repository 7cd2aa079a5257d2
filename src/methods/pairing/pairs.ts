/** Pairs of a chosen and a rejected completion within the groups of a rollout, by their rewards. No libtorch. */
import { at } from "../../base/at.ts";
import { inGroups } from "../advantages.ts";
import type { PairingOptions } from "./settings.ts";

/** A chosen and a rejected completion, as indices of the rollout's. */
export type IndexPair = readonly [chosen: number, rejected: number];

/** A completion with its reward. */
interface Scored {
  index: number;
  reward: number;
}

/**
 * The pairs of each group, none for many. Completions with equal rewards, or whose reward is NaN, are never a pair.
 *
 * - `all`: every two completions. `best_worst`: the first of the best with the first of the worst.
 * - `ranked`: each completion with every one of the next lower reward, so that a pair's two stand next to each other in the
 *   group's order; n different rewards give n − 1 steps where `all` has every distance.
 *
 * @param rewards - (N), NaN where unscorable
 * @param groupSizes - completions of each group, which stand together
 */
export function pairsOf(
  rewards: readonly number[],
  groupSizes: readonly number[],
  options: Pick<PairingOptions, "pairs" | "reward_gap" | "rejected_quantile">,
): IndexPair[][] {
  const all = rewards.map((reward, index): Scored => ({ index, reward }));
  return inGroups(all, groupSizes).map((group) => {
    const known = group.filter(({ reward }) => !Number.isNaN(reward));
    const rejectable = withoutWorst(known, options.rejected_quantile);
    const pairs = candidates(options.pairs)(known, rejectable);
    return pairs.flatMap(([chosen, rejected]): IndexPair[] =>
      isAbove(chosen.reward, rejected.reward, options.reward_gap) ? [[chosen.index, rejected.index]] : [],
    );
  });
}

/**
 * Whether `chosen` is more than `gap` above `rejected`. A difference that is the gap but for the rounding of float32, in which rewards are
 * compared, is not: 0.6 and 0.5 are no further apart than 0.4 and 0.3.
 */
function isAbove(chosen: number, rejected: number, gap: number): boolean {
  // equal infinities have no difference, and are no pair
  if (!(chosen > rejected)) return false;
  const rounding = gap === 0 ? 0 : 2 ** -23 * Math.max(Math.abs(chosen), Math.abs(rejected), gap);
  return chosen - rejected > gap + (Number.isFinite(rounding) ? rounding : 0);
}

/** Of each completion the places in its group, from 0, of those that {@link pairsOf} prefers it to. */
export function chosenOver(
  rewards: readonly number[],
  groupSizes: readonly number[],
  options: Parameters<typeof pairsOf>[2],
): number[][] {
  const pairs = pairsOf(rewards, groupSizes, options);
  const indices = inGroups([...rewards.keys()], groupSizes);
  return indices.flatMap((group, g) =>
    group.map((index) =>
      at(pairs, g).flatMap(([chosen, rejected]) => (chosen === index ? [rejected - at(group, 0)] : [])),
    ),
  );
}

/** In their order, without the floor(quantile × n) worst; of equal ones the first are the worst. */
function withoutWorst(group: readonly Scored[], quantile: number): Scored[] {
  const sorted = [...group].sort((a, b) => a.reward - b.reward || a.index - b.index);
  const left = new Set(sorted.slice(Math.floor(quantile * group.length)));
  return group.filter((one) => left.has(one));
}

type Candidates = (known: readonly Scored[], rejectable: readonly Scored[]) => (readonly [Scored, Scored])[];

function candidates(pairs: PairingOptions["pairs"]): Candidates {
  if (pairs === "best_worst") return bestAndWorst;
  return pairs === "all" ? everyTwo : neighbours;
}

const everyTwo: Candidates = (known, rejectable) =>
  known.flatMap((chosen) => rejectable.map((rejected) => [chosen, rejected] as const));

const bestAndWorst: Candidates = (known, rejectable) => {
  if (rejectable.length === 0) return [];
  const best = known.reduce((a, b) => (b.reward > a.reward ? b : a));
  const worst = rejectable.reduce((a, b) => (b.reward < a.reward ? b : a));
  return [[best, worst]];
};

const neighbours: Candidates = (known, rejectable) => {
  const levels = [...new Set(known.map(({ reward }) => reward))].sort((a, b) => b - a);
  const next = new Map(levels.slice(1).map((level, i) => [at(levels, i), level]));
  return everyTwo(known, rejectable).filter(([a, b]) => next.get(a.reward) === b.reward);
};
