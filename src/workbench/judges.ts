/** Verdicts of models as labels that stay marked as such, and where a judge and people part. */
import { meanOverGroups } from "../stats/mean-over-groups.ts";
import { plainText } from "../text/message-text.ts";
import { type Choice, inputsText } from "./comparison.ts";
import type { LabelState, Vote } from "./label-events.ts";
import type { LabelStore } from "./label-store.ts";
import {
  choices,
  reportOf,
  type Share,
  shareOf,
  type WhatIsSaid,
  type WithOthers,
  whatIsSaid,
} from "./people.ts";
import { remembered } from "./remembered.ts";

/** What a judge said of one item, asked in both orders; null where no verdict could be read. */
export interface ItemVerdict {
  item: string;
  /** With answer "a" shown first, and with "b" shown first. */
  orders: readonly [Choice | null, Choice | null];
}

/** What became of verdicts. */
export interface KeptVerdicts {
  kept: number;
  /** Items that this judge has judged before. */
  known: number;
  /** Items without a verdict in one of the orders. */
  without: number;
}

/** The name under which a judge's verdicts are kept: nobody else's. */
export function judgeName(model: string): string {
  return `${model} (judge)`;
}

/**
 * Keeps verdicts as labels of a judge: one that is the same in both orders, and a tie where the winner changed with the order. In
 * an export people go before them.
 */
export function keepVerdicts(
  store: LabelStore,
  model: string,
  verdicts: readonly ItemVerdict[],
): KeptVerdicts {
  const person = judgeName(model);
  const counts: KeptVerdicts = { kept: 0, known: 0, without: 0 };
  store.addPerson(person, "judge");
  store.forEach(verdicts, ({ item, orders: [first, second] }) => {
    store.item(item);
    if (first === null || second === null) {
      counts.without++;
      return;
    }
    const verdict = first === second ? first : "tie";
    const body = { verdict, strength: 1, ms: null, orders: [first, second] } as const;
    const isNew = store.append({ kind: "vote", person, item, key: `judge ${item} ${person}`, body });
    counts[isNew ? "kept" : "known"]++;
  });
  return counts;
}

/**
 * Keeps what follows of scores as labels of who gave them: which answer of an item has more. Where scores of the same name said
 * otherwise, those of now stand in their place. A verdict that was asked for in both orders stays.
 */
export function keepScored(
  store: LabelStore,
  scorer: string,
  better: readonly { item: string; verdict: "a" | "b" }[],
): void {
  const person = judgeName(scorer);
  store.addPerson(person, "judge");
  const known = store.state().votesByPerson().get(person)?.firsts;
  store.forEach(better, ({ item, verdict }) => {
    const body = { verdict, strength: 1, ms: null } as const;
    const key = `judge ${item} ${person}`;
    const before = known?.get(item);
    if (before === undefined) store.append({ kind: "vote", person, item, key, body });
    else if (before.verdict !== verdict && before.orders === undefined) {
      const { seq } = before;
      store.append({ kind: "undo", person, item, key: `${key} not ${seq}`, body: { vote: seq } });
      store.append({ kind: "vote", person, item, key: `${key} after ${seq}`, body });
    }
  });
}

/** Items that a judge has not judged, in the order in which people see them. */
export function unjudgedBy(store: LabelStore, model: string): string[] {
  const judged = store.state().votesByPerson().get(judgeName(model))?.firsts;
  return store.order.filter((item) => judged?.has(item) !== true);
}

/** An item that people and a judge see differently. */
export interface Parting {
  item: string;
  inputs: string;
  prompt: string;
  a: string;
  b: string;
  judge: string;
  people: string;
}

/** What is known of one judge. */
export interface JudgeFacts {
  judge: string;
  verdicts: number;
  /** Of the verdicts in both orders, those whose winner changed with the order. */
  changed: Share;
  /** Of the verdicts for one answer, those for the one that was shown first: a half without a bias. */
  first: Share;
  /** Of the verdicts for one answer, those for the longer one. */
  longer: Share;
  /** Kappa with what most people said. */
  withPeople: WithOthers | null;
  /** Items on which people are of one mind and the judge of another. */
  partings: Parting[];
}

/** The judges of a workbench. */
export function judgeFacts(store: LabelStore): JudgeFacts[] {
  return facts(store);
}

const facts = remembered((store, state): JudgeFacts[] => {
  const said = whatIsSaid(state);
  const judges = [...state.people].flatMap(([person, kind]) => (kind === "judge" ? [person] : []));
  return judges.flatMap((judge) => {
    const votes = [...said.of(judge).firsts.values()];
    if (votes.length === 0) return [];
    const report = reportOf(store, said, judge);
    const orders = votes.flatMap(({ orders: both }) => (both === undefined ? [] : [both]));
    return [
      {
        judge,
        verdicts: votes.length,
        changed: shareOf(orders.filter(([one, other]) => one !== other).length, orders.length),
        first: firstShare(orders),
        longer: report.longer,
        withPeople: report.withOthers,
        partings: votes.flatMap((vote) => partingOf(store, vote, sayOf(state, said, vote.item))),
      },
    ];
  });
});

/** Over items, not verdicts: a judge that goes by the place of an answer says the same twice. */
function firstShare(orders: readonly (readonly [Choice, Choice])[]): Share {
  const items = orders.map(([one, other]) => {
    const decided = [wonFirst(one, "a"), wonFirst(other, "b")].filter((won) => won !== null);
    return { sum: decided.filter(Boolean).length, count: decided.length };
  });
  const { value, interval } = meanOverGroups(items);
  return { share: value, of: items.reduce((sum, { count }) => sum + count, 0), ...interval };
}

/** Whether the answer shown first won; null: neither did. */
function wonFirst(verdict: Choice, first: "a" | "b"): boolean | null {
  return verdict === "a" || verdict === "b" ? verdict === first : null;
}

/** @param said - what people say of the item */
function partingOf(store: LabelStore, { item, verdict }: Vote, said: string | null): Parting[] {
  if (said === null || said === verdict) return [];
  const { comparison } = store.item(item);
  const { prompt, answers } = comparison;
  return [
    {
      ...{ item, judge: verdict, people: said, inputs: inputsText(comparison) },
      ...{ prompt: plainText(prompt), a: plainText(answers[0]), b: plainText(answers[1]) },
    },
  ];
}

/** What people say of an item: a decision, or what all who judged it say; null: nothing, or not one thing. */
function sayOf({ decisions }: LabelState, { counts }: WhatIsSaid, item: string): string | null {
  const decision = decisions.get(item);
  if (decision !== undefined) return decision.choice;
  const [only, ...others] = choices.filter((_, k) => (counts.get(item)?.[k] ?? 0) > 0);
  return only === undefined || others.length > 0 ? null : only;
}
