/** Battles: two voices answer one prompt, blind until the vote, which is a label like any other; and how often each voice wins. */
import { type Interval, shareInterval } from "../stats/bootstrap.ts";
import { type Comparison, inOrder, itemIdOf, plainText } from "./comparison.ts";
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
  /** Fraction of the judgments that prefer `one`, equal ones as half. */
  rate: number;
  judgments: number;
}

function isCounted({ verdict, showing }: Vote): boolean {
  if (showing === null || showing.isRepeat || showing.order !== "random") return false;
  return verdict !== "bad" && verdict !== "skip";
}

/** The win rate of each pair of models, over pairs that came in random order; repeats, skips and two bad answers are left out. */
export function winRates(store: LabelStore): WinRate[] {
  const counts = new Map<string, { wins: number; of: number }>();
  for (const vote of store.state().votes.values()) {
    if (!isCounted(vote)) continue;
    const { item, verdict, showing } = vote;
    const [a, b] = showing?.models ?? store.item(item).comparison.models;
    if (a === null || b === null || a === b) continue;
    const isFirst = a < b;
    const key = JSON.stringify(isFirst ? [a, b] : [b, a]);
    const { wins, of } = counts.get(key) ?? { wins: 0, of: 0 };
    const won = verdict === "tie" ? 0.5 : Number((verdict === "a") === isFirst);
    counts.set(key, { wins: wins + won, of: of + 1 });
  }
  return [...counts].map(([key, { wins, of }]) => {
    const [one, other] = JSON.parse(key) as [string, string];
    return { one, other, rate: wins / of, judgments: of, ...shareInterval(wins, of) };
  });
}
