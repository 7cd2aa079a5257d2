/** What people say of answers, and the pairs that follow from rewards or from what was said. */
import { at } from "../base/at.ts";
import { pairsOf } from "../methods/pairing/pairs.ts";
import { inOrder, itemIdOf } from "../workbench/comparison.ts";
import { exportLabels, type Said, saidByPeople } from "../workbench/export-labels.ts";
import type { LabelStore } from "../workbench/label-store.ts";
import type { RoundSettings } from "../workbench/rounds/round-file.ts";
import { type AnswerGroup, comparisonOf } from "./answers.ts";

/** Two answers of a group, by their places in it, as an item of the workbench. */
interface PairItem {
  item: string;
  /** Which of the two is the item's answer "a". */
  a: number;
  b: number;
}

/** Every two answers of a group as items. */
function itemsOf(group: AnswerGroup, name: string): PairItem[] {
  return group.answers.flatMap((one, i) =>
    group.answers.slice(i + 1).map((other, k) => pairItem(group, [i, i + 1 + k], [one, other], name)),
  );
}

function pairItem(
  group: AnswerGroup,
  [i, j]: readonly [number, number],
  answers: readonly [string, string],
  name: string,
): PairItem {
  const comparison = comparisonOf(group, answers, [name, name]);
  const isTurned = inOrder(comparison).answers[0] !== comparison.answers[0];
  return { item: itemIdOf(comparison), ...(isTurned ? { a: j, b: i } : { a: i, b: j }) };
}

/** Puts every two answers of each group before people. @returns the items */
export function putBeforePeople(store: LabelStore, groups: readonly AnswerGroup[], name: string): string[] {
  store.add(
    groups.flatMap((group) =>
      group.answers.flatMap((one, i) =>
        group.answers.slice(i + 1).map((other) => comparisonOf(group, [one, other], [name, name])),
      ),
    ),
  );
  return groups.flatMap((group) => itemsOf(group, name).map(({ item }) => item));
}

/** How many of `items` people have judged or skipped. */
export function judgedOf(store: LabelStore, items: readonly string[]): number {
  const said = saidByPeople(store);
  return items.filter((item) => (said.get(item) ?? null) !== null).length;
}

/**
 * The reward of each answer by what was said: the mean over the pairs that were judged of 1 where it is better, 0.5 where neither
 * is, 0 where it is worse; NaN without any.
 */
export function rewardsByLabels(store: LabelStore, groups: readonly AnswerGroup[], name: string): number[][] {
  const said = saidByPeople(store);
  return groups.map((group) => {
    const wins = group.answers.map((): number[] => []);
    for (const { item, a, b } of itemsOf(group, name)) {
      const won = winOf(said.get(item) ?? null);
      if (won === null) continue;
      wins[a]?.push(won);
      wins[b]?.push(1 - won);
    }
    return wins.map((own) => own.reduce((sum, one) => sum + one, 0) / own.length);
  });
}

/** What answer "a" won, a half where neither is better or people differ; null: nothing was said. */
export function winOf(said: Said | null): number | null {
  if (said === null || said === "skip") return null;
  return said === "a" ? 1 : said === "b" ? 0 : 0.5;
}

/** A pair to train on. */
export interface ChosenPair {
  group: AnswerGroup;
  chosen: string;
  rejected: string;
  item: string;
  /** What its label says. */
  verdict: "a" | "b";
}

/** The pairs that rewards make of each group, as on-policy training makes them. */
export function chosenPairs(
  groups: readonly AnswerGroup[],
  rewards: readonly (readonly number[])[],
  { pairs, reward_gap }: Pick<RoundSettings, "pairs" | "reward_gap">,
  name: string,
): ChosenPair[] {
  return groups.flatMap((group, g) => {
    const own = at(rewards, g);
    const [made = []] = pairsOf(own, [own.length], { pairs, reward_gap, rejected_quantile: 0 });
    return made.map(([i, j]): ChosenPair => {
      const [chosen, rejected] = [at(group.answers, i), at(group.answers, j)];
      const { item, a } = pairItem(group, [i, j], [chosen, rejected], name);
      return { group, chosen, rejected, item, verdict: a === i ? "a" : "b" };
    });
  });
}

/**
 * The rows of pairs in their order, with who judged them, and the number of pairs that a label contradicts: these make no row. The
 * workbench has an order of its own, drawn by chance: the same answers and labels are the same file in any.
 */
export function rowsOf(
  store: LabelStore,
  pairs: readonly ChosenPair[],
): { rows: Record<string, unknown>[]; contradicted: number } {
  const byLabel = new Map(
    exportLabels(store).rows.map((row) => {
      const { item, verdict } = row["meta"] as { item: string; verdict: string };
      return [labelOf({ item, verdict }), row];
    }),
  );
  const wanted = new Set(pairs.map(labelOf));
  const rows = [...wanted].map((label) => byLabel.get(label)).filter((row) => row !== undefined);
  return { rows, contradicted: wanted.size - rows.length };
}

const labelOf = ({ item, verdict }: { item: string; verdict: string }): string => `${item} ${verdict}`;
