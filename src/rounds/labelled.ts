/** What people say of answers, and the pairs that follow from rewards or from what was said. */
import { at } from "../base/at.ts";
import { pairsOf } from "../methods/pairing/pairs.ts";
import { inOrder, itemIdOf } from "../workbench/comparison.ts";
import { exportLabels, judgedRow, type Said, saidByPeople } from "../workbench/export-labels.ts";
import { judgeName, keepScored } from "../workbench/judges.ts";
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

/** What becomes of pairs: rows in the order of the pairs. */
export interface PairRows {
  rows: Record<string, unknown>[];
  /** Prompts that have rows. */
  prompts: number;
  /** Pairs without a row: labels say otherwise. */
  contradicted: number;
}

/**
 * The rows of pairs that follow from what people say, with who judged them. A pair whose own label says otherwise makes no row. The
 * workbench has an order of its own, drawn by chance: the same answers and labels are the same file in any.
 */
export function rowsByLabels(store: LabelStore, pairs: readonly ChosenPair[]): PairRows {
  const byLabel = new Map(
    exportLabels(store).rows.map((row) => {
      const { item, verdict } = row["meta"] as { item: string; verdict: string };
      return [labelOf({ item, verdict }), row];
    }),
  );
  const wanted = new Map(pairs.map((pair) => [labelOf(pair), pair]));
  const made = [...wanted].flatMap(([label, { group }]) => {
    const row = byLabel.get(label);
    return row === undefined ? [] : [{ row, group }];
  });
  return pairRows(made, wanted.size);
}

const labelOf = ({ item, verdict }: { item: string; verdict: string }): string => `${item} ${verdict}`;

/**
 * The rows of pairs that follow from scores, which are the scorer's alone: what people, or the scorer of another round, say of the
 * same answers changes none of them. The workbench keeps what the scorer says beside their labels.
 *
 * @param names - of the scorer, and of the model that answers
 */
export function rowsByScores(
  store: LabelStore,
  pairs: readonly ChosenPair[],
  { scorer, voice }: { scorer: string; voice: string },
): PairRows {
  // of a prompt that is there twice the scores may differ: the first ones count
  const byItem = new Map(pairs.toReversed().map((pair) => [pair.item, pair]));
  const first = pairs.filter((pair) => byItem.get(pair.item) === pair);
  const others = pairs.filter(({ item, verdict }) => byItem.get(item)?.verdict !== verdict);
  const comparisons = first.map(({ group, chosen, rejected }) =>
    comparisonOf(group, [chosen, rejected], [voice, voice]),
  );
  store.add(comparisons);
  keepScored(store, scorer, first);
  const made = first.map(({ group, verdict }, i) => ({
    group,
    row: judgedRow(at(comparisons, i), verdict, judgeName(scorer)),
  }));
  return pairRows(made, first.length + others.length);
}

function pairRows(
  made: readonly { row: Record<string, unknown>; group: AnswerGroup }[],
  pairs: number,
): PairRows {
  return {
    rows: made.map(({ row }) => row),
    prompts: new Set(made.map(({ group }) => group)).size,
    contradicted: pairs - made.length,
  };
}
