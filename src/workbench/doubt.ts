/** Of which pairs judges and models are unsure: those that people can be asked to label first. */
import type { LabelState } from "./label-events.ts";
import type { LabelStore } from "./label-store.ts";
import { remembered } from "./remembered.ts";

/** How far a model prefers answer "a" of an item: above 0 where it does, below where it prefers "b". */
export interface ItemMargin {
  item: string;
  margin: number;
}

/** Keeps what a model scored; of an item that it has scored before the new margin counts. */
export function keepMargins(store: LabelStore, model: string, margins: readonly ItemMargin[]): void {
  store.forEach(margins, ({ item, margin }) => {
    store.item(item);
    store.append({ kind: "margin", person: `${model} (model)`, item, body: { margin } });
  });
}

/**
 * How unsure judges and models are of an item, from 0 to 1: the mean of what judges together and each model say. Nobody has said
 * anything: 0.5.
 *
 * Judges: 1 − |mean| over their verdicts in each order, answer "a" as 1, "b" as −1, others as 0. A model: the fraction of the other
 * items it scored that have a larger margin, either way; margins of different models have different units.
 */
export function doubtOf(store: LabelStore): (item: string) => number {
  const doubts = doubtsOf(store);
  return (item) => doubts.get(item) ?? 0.5;
}

// people's votes, which come one by one, change none of it
const doubtsOf = remembered(
  (_, state) => doubtsIn(state),
  ({ opinionSeq }) => opinionSeq,
);

function doubtsIn(state: LabelState): ReadonlyMap<string, number> {
  const sources = [judgesDoubt(state), ...[...state.margins.values()].map(modelDoubt)];
  const said = new Map<string, { sum: number; of: number }>();
  for (const [item, doubt] of sources.flatMap((source) => [...source])) {
    const { sum, of } = said.get(item) ?? { sum: 0, of: 0 };
    said.set(item, { sum: sum + doubt, of: of + 1 });
  }
  return new Map([...said].map(([item, { sum, of }]) => [item, sum / of]));
}

function judgesDoubt(state: LabelState): Map<string, number> {
  const said = new Map<string, { sum: number; of: number }>();
  for (const { item, person, verdict, orders } of state.votes.values()) {
    if (state.people.get(person) !== "judge") continue;
    for (const one of orders ?? [verdict]) {
      const { sum, of } = said.get(item) ?? { sum: 0, of: 0 };
      said.set(item, { sum: sum + Number(one === "a") - Number(one === "b"), of: of + 1 });
    }
  }
  return new Map([...said].map(([item, { sum, of }]) => [item, 1 - Math.abs(sum / of)]));
}

function modelDoubt(margins: ReadonlyMap<string, number>): Map<string, number> {
  const sizes = [...margins.values()].map(Math.abs).toSorted((a, b) => b - a);
  // of equal ones the first place: each has as many larger ones
  const larger = new Map<number, number>();
  for (const [place, size] of sizes.entries()) if (!larger.has(size)) larger.set(size, place);
  const others = Math.max(1, sizes.length - 1);
  return new Map([...margins].map(([item, margin]) => [item, (larger.get(Math.abs(margin)) ?? 0) / others]));
}
