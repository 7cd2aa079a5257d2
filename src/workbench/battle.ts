/** Battles: two voices answer one prompt, blind until the vote, which is a label like any other; and how often each voice wins. */
import { type Interval, shareInterval } from "../stats/bootstrap.ts";
import { plainText } from "../text/message-text.ts";
import { type Comparison, inOrder, itemIdOf } from "./comparison.ts";
import type { Vote } from "./label-events.ts";
import type { LabelStore } from "./label-store.ts";
import { castVote, type SidedVote } from "./labelling.ts";

/**
 * Keeps a battle as a pair that `person` saw and judged.
 *
 * @param battle - `answers` and `models` as they stood: left, right
 * @param showing - a name of the battle; a second vote of the same is not kept
 * @returns whether the vote was kept
 */
export function castBattle(store: LabelStore, person: string, battle: Comparison, vote: SidedVote): boolean {
  const item = itemIdOf(battle);
  const { answers, models } = inOrder(battle);
  const swapped = plainText(answers[0]) !== plainText(battle.answers[0]);
  // all or nothing: a pair that was shown and not judged would come back on the Label screen
  return store.transaction(() => {
    store.addPerson(person, "person");
    store.add([battle]);
    const body = { swapped, isRepeat: false, order: "random", models } as const;
    store.append({ kind: "shown", person, item, showing: vote.showing, key: `shown ${vote.showing}`, body });
    return castVote(store, person, vote);
  });
}

/** How often one model was preferred over another, by people who did not know which was which. */
export interface WinRate extends Interval {
  one: string;
  other: string;
  /** Fraction of the pairs in which `one` was preferred: of each the mean of its judgments, equal ones as half. */
  rate: number;
  /** What the interval is over: judgments of one pair depend on one another. */
  pairs: number;
  judgments: number;
}

function isCounted({ verdict, showing }: Vote): boolean {
  if (showing === null || showing.isRepeat || showing.order !== "random") return false;
  return verdict !== "bad" && verdict !== "skip";
}

/** The win rate of each pair of models, over pairs that came in random order; repeats, skips and two bad answers are left out. */
export function winRates(store: LabelStore): WinRate[] {
  const winsOf = new Map<string, Map<string, number[]>>();
  for (const vote of store.state().votes.values()) {
    if (!isCounted(vote)) continue;
    const { item, verdict, showing } = vote;
    const [a, b] = showing?.models ?? store.item(item).comparison.models;
    if (a === null || b === null || a === b) continue;
    const isFirst = a < b;
    const key = JSON.stringify(isFirst ? [a, b] : [b, a]);
    const items = winsOf.get(key) ?? new Map<string, number[]>();
    winsOf.set(key, items);
    const won = verdict === "tie" ? 0.5 : Number((verdict === "a") === isFirst);
    items.set(item, [...(items.get(item) ?? []), won]);
  }
  const sum = (values: readonly number[]): number => values.reduce((total, one) => total + one, 0);
  return [...winsOf].map(([key, items]) => {
    const [one, other] = JSON.parse(key) as [string, string];
    const wins = [...items.values()];
    const won = sum(wins.map((own) => sum(own) / own.length));
    const judgments = sum(wins.map((own) => own.length));
    const pairs = wins.length;
    return { one, other, rate: won / pairs, pairs, judgments, ...shareInterval(won, pairs) };
  });
}
