/** How far people agree, with each other and with themselves, and what of it is worth a warning. */
import {
  type Agreement,
  agreementOf,
  type Coefficient,
  cohenKappa,
  type Ratings,
} from "../stats/agreement.ts";
import { type Interval, shareInterval } from "../stats/bootstrap.ts";
import { plainText } from "../text/message-text.ts";
import type { Choice } from "./comparison.ts";
import { conflictsIn } from "./export-labels.ts";
import { type LabelState, type OwnVotes, sideOf, type Vote } from "./label-events.ts";
import type { LabelStore } from "./label-store.ts";
import { remembered } from "./remembered.ts";

/** A share of some, with its 95 % interval. */
export interface Share extends Interval {
  share: number;
  of: number;
}

/** Cohen's kappa with what most others said, on the items that both judged; no interval where these are fewer than {@link enough}. */
export interface WithOthers extends Coefficient {
  units: number;
  /** Whether both the kappa and Gwet's AC1 are no more than chance gives. */
  isChance: boolean;
}

/** What is said of one person. */
export interface PersonReport {
  person: string;
  /** Items, without repeats and skips. */
  labelled: number;
  skipped: number;
  /** Items that came back with sides exchanged and were judged alike. */
  selfAgreement: Share;
  /** Of the judgments for one side, those for the left one. Sides are drawn at random: an even-handed person has a half. */
  left: Share;
  /** Of the judgments for one answer, those for the longer one. */
  longer: Share;
  /** Null where there is no item that others judged too. */
  withOthers: WithOthers | null;
  /** The middle time to a judgment, in seconds; null where no page measured it. */
  seconds: number | null;
}

/** Something to look at. */
export interface PeopleFinding {
  code: "side_bias" | "self_contradiction" | "chance_agreement" | "too_fast";
  person: string;
  message: string;
}

/** All of it. */
export interface PeopleReport {
  people: PersonReport[];
  /** Null where fewer than two people have judged. */
  agreement: Agreement | null;
  /** Items whose judgments differ and that no decision settles. */
  conflicts: string[];
  findings: PeopleFinding[];
}

/** The answers that a judgment can have. */
export const choices: readonly Choice[] = ["a", "b", "tie", "bad"];

/** Fewer than this tell nothing of a person. */
export const enough = 20;
const enoughRepeats = 5;
/** Who agrees with themselves less often than this, and not by chance, contradicts themselves. */
const steadyShare = 0.8;
const hastySeconds = 1;

/** What is known of those who judged; judges and files are compared as people are, under their names. */
export function peopleReport(store: LabelStore): PeopleReport {
  return report(store);
}

const report = remembered((store, state): PeopleReport => {
  const said = whatIsSaid(state);
  const judging = [...state.people.keys()].filter((person) => said.of(person).firsts.size > 0);
  const people = judging.map((person) => reportOf(store, said, person));
  const humans = judging.filter((person) => said.isHuman(person));
  return {
    people,
    agreement: humans.length < 2 ? null : agreementOf(ratingsOf(said, humans), choices.length),
    conflicts: conflictsIn(store),
    findings: people.flatMap((one) => findingsOf(one, humans.length)),
  };
});

/** Who said what, and what people said of each item. */
export interface WhatIsSaid {
  of: (person: string) => OwnVotes;
  isHuman: (person: string) => boolean;
  /** Of an item, how many people gave each of the four answers. */
  counts: ReadonlyMap<string, readonly number[]>;
}

/** Goes over the votes once, for there may be many thousands of people. */
export function whatIsSaid(state: LabelState): WhatIsSaid {
  const votes = state.votesByPerson();
  const isHuman = (person: string): boolean => state.people.get(person) === "person";
  const counts = new Map<string, number[]>();
  for (const [person, { firsts }] of votes) {
    for (const vote of isHuman(person) ? firsts.values() : []) {
      const own = counts.get(vote.item) ?? choices.map(() => 0);
      const choice = numberOf(vote);
      own[choice] = (own[choice] ?? 0) + 1;
      counts.set(vote.item, own);
    }
  }
  return { of: (person) => votes.get(person) ?? { all: [], firsts: new Map() }, isHuman, counts };
}

/** Of two people what each said; of more what was said, for who said it is of no matter and most said nothing of most items. */
function ratingsOf({ of, counts }: WhatIsSaid, humans: readonly string[]): Ratings {
  if (humans.length === 2) {
    const [one, other] = humans.map((person) => of(person).firsts);
    const rating = (vote: Vote | undefined) => (vote === undefined ? null : numberOf(vote));
    return [...counts.keys()].map((item) => [rating(one?.get(item)), rating(other?.get(item))]);
  }
  return [...counts.values()].map((count) => {
    const given = count.flatMap((times, choice) => new Array<number>(times).fill(choice));
    // three places at least: there are more than two people
    return [...given, ...new Array<null>(Math.max(0, 3 - given.length)).fill(null)];
  });
}

/** @param vote - no skip */
function numberOf({ verdict }: Vote): number {
  return verdict === "skip" ? -1 : choices.indexOf(verdict);
}

/** What is said of one person, judge or file. */
export function reportOf(store: LabelStore, said: WhatIsSaid, person: string): PersonReport {
  const { all, firsts } = said.of(person);
  const repeats = all.filter(({ showing, verdict }) => showing?.isRepeat === true && verdict !== "skip");
  const alike = repeats.filter(({ item, verdict }) => firsts.get(item)?.verdict === verdict).length;
  const sides = all.map(sideOf).filter((side) => side !== 0);
  const lengths = [...firsts.values()].map((vote) => longerSign(store, vote)).filter((sign) => sign !== 0);
  const times = all.flatMap(({ ms }) => ms ?? []).toSorted((a, b) => a - b);
  const middle = times[Math.floor(times.length / 2)];
  return {
    person,
    labelled: firsts.size,
    skipped: all.filter(({ verdict }) => verdict === "skip").length,
    selfAgreement: shareOf(alike, repeats.length),
    left: shareOf(sides.filter((side) => side < 0).length, sides.length),
    longer: shareOf(lengths.filter((sign) => sign > 0).length, lengths.length),
    withOthers: withOthers(said, person),
    seconds: middle === undefined ? null : middle / 1000,
  };
}

/** 1 where the judgment is for the longer answer, -1 for the shorter one, 0 for neither. */
function longerSign(store: LabelStore, { item, verdict }: Vote): number {
  if (verdict !== "a" && verdict !== "b") return 0;
  const known = lengthSigns.get(store) ?? new Map<string, number>();
  lengthSigns.set(store, known);
  const apart = known.get(item) ?? lengthSign(store, item);
  known.set(item, apart);
  return verdict === "a" ? apart : -apart;
}

/** Of items that were read, 1 where answer "a" is longer, -1 where "b" is: an item does not change. */
const lengthSigns = new WeakMap<LabelStore, Map<string, number>>();

function lengthSign(store: LabelStore, item: string): number {
  const { answers } = store.item(item).comparison;
  return Math.sign(plainText(answers[0]).length - plainText(answers[1]).length);
}

/** `hits` of `of`, with the 95 % interval. */
export function shareOf(hits: number, of: number): Share {
  return { share: hits / of, of, ...shareInterval(hits, of) };
}

function withOthers({ of, isHuman, counts }: WhatIsSaid, person: string): WithOthers | null {
  const own = isHuman(person) ? 1 : 0;
  const table = [...of(person).firsts].flatMap(([item, vote]) => {
    const rating = numberOf(vote);
    const others = counts.get(item)?.map((count, choice) => count - (choice === rating ? own : 0));
    const most = others === undefined ? null : mostOf(others);
    return most === null ? [] : [[rating, most] as const];
  });
  const units = table.length;
  if (units === 0) return null;
  const unknown = { low: Number.NaN, high: Number.NaN, isChance: false };
  if (units < enough) return { value: cohenKappa(table, choices.length), units, ...unknown };
  const { kappa, ac1 } = agreementOf(table, choices.length);
  if (kappa === null) throw new RangeError("two ratings a unit have a kappa");
  // AC1 takes all four answers for as likely: who guesses one of two answers would be better than chance
  const sided = table.filter((ratings) => ratings.every((choice) => choice < 2));
  const { low } = sided.length < enough ? ac1 : agreementOf(sided, 2).ac1;
  return { ...kappa, units, isChance: kappa.low <= 0 && low <= 0 };
}

/** The answer that is given most often; null where none is, or two are. */
function mostOf(counts: readonly number[]): number | null {
  const most = Math.max(...counts);
  return most === 0 || counts.filter((count) => count === most).length > 1 ? null : counts.indexOf(most);
}

function findingsOf(report: PersonReport, people: number): PeopleFinding[] {
  const { person, left, selfAgreement, withOthers: others, seconds } = report;
  const found: PeopleFinding[] = [];
  const add = (code: PeopleFinding["code"], message: string) => found.push({ code, person, message });
  // three standard errors: an even-handed person is named once in some 400 times
  if (left.of >= enough && Math.abs(left.share - 0.5) > 1.5 / Math.sqrt(left.of)) {
    const side = left.share > 0.5 ? "left" : "right";
    const share = side === "left" ? left.share : 1 - left.share;
    add(
      "side_bias",
      `${person} prefers the ${side} side in ${percent(share)} of ${left.of} judgments, more than chance explains: sides are drawn at random.`,
    );
  }
  if (selfAgreement.of >= enoughRepeats && selfAgreement.high < steadyShare) {
    add(
      "self_contradiction",
      `${person} judged ${percent(selfAgreement.share)} of ${selfAgreement.of} pairs alike when they came back with sides exchanged.`,
    );
  }
  if (others?.isChance === true) {
    const whom =
      people > 2
        ? "what most others said"
        : "the other person (with two people it cannot be said which of them guesses)";
    add(
      "chance_agreement",
      `${person} agrees with ${whom} no more than chance would: kappa ${others.value.toFixed(2)} on ${others.units} pairs.`,
    );
  }
  if (seconds !== null && seconds < hastySeconds)
    add("too_fast", `${person} takes ${seconds.toFixed(1)} s in the middle: too short to read two answers.`);
  return found;
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
