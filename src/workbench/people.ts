/** How far people agree, with each other and with themselves, and what of it is worth a warning. */
import { type Agreement, agreementOf, cohenKappa, type Ratings } from "../stats/agreement.ts";
import { bootstrapInterval, type Interval, shareInterval } from "../stats/bootstrap.ts";
import { type Choice, plainText } from "./comparison.ts";
import { conflictsIn } from "./export-labels.ts";
import { type LabelState, sideOf, type Vote } from "./label-events.ts";
import type { LabelStore } from "./label-store.ts";

/** A share of some, with its 95 % interval. */
export interface Share extends Interval {
  share: number;
  of: number;
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
  /** Cohen's kappa with what most others said, on the items that both judged. */
  withOthers: ({ value: number; units: number } & Interval) | null;
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

const choices: readonly Choice[] = ["a", "b", "tie", "bad"];

/** Fewer than this tell nothing of a person. */
const enough = 20;
const enoughRepeats = 5;
/** Who agrees with themselves less often than this, and not by chance, contradicts themselves. */
const steadyShare = 0.8;
const hastySeconds = 1;

/** What is known of those who judged; judges and files are compared as people are, under their names. */
export function peopleReport(store: LabelStore): PeopleReport {
  const state = store.state();
  const people = [...state.people.keys()].filter((person) => state.firstVotes(person).size > 0);
  const humans = people.filter((person) => state.people.get(person) === "person");
  const table = ratingsOf(state, humans);
  const reports = people.map((person) => reportOf(store, state, { person, humans }));
  return {
    people: reports,
    agreement: humans.length < 2 ? null : agreementOf(table, choices.length),
    conflicts: conflictsIn(store),
    findings: reports.flatMap((report) => findingsOf(report, humans.length)),
  };
}

function ratingsOf(state: LabelState, people: readonly string[]): Ratings {
  const votes = people.map((person) => state.firstVotes(person));
  const items = new Set(votes.flatMap((of) => [...of.keys()]));
  return [...items].map((item) => votes.map((of) => numberOf(of.get(item))));
}

function numberOf(vote: Vote | undefined): number | null {
  return vote === undefined || vote.verdict === "skip" ? null : choices.indexOf(vote.verdict);
}

/** What is said of one person, judge or file. @param who - with `humans`, whom they are compared with */
export function reportOf(
  store: LabelStore,
  state: LabelState,
  { person, humans }: { person: string; humans: readonly string[] },
): PersonReport {
  const own = [...state.votes.values()].filter((vote) => vote.person === person);
  const firsts = state.firstVotes(person);
  const repeats = own.filter(({ showing, verdict }) => showing?.isRepeat === true && verdict !== "skip");
  const alike = repeats.filter(({ item, verdict }) => firsts.get(item)?.verdict === verdict).length;
  const sides = own.map(sideOf).filter((side) => side !== 0);
  const lengths = [...firsts.values()].map((vote) => longerSign(store, vote)).filter((sign) => sign !== 0);
  const times = own.flatMap(({ ms }) => ms ?? []).toSorted((a, b) => a - b);
  const middle = times[Math.floor(times.length / 2)];
  return {
    person,
    labelled: firsts.size,
    skipped: own.filter(({ verdict }) => verdict === "skip").length,
    selfAgreement: shareOf(alike, repeats.length),
    left: shareOf(sides.filter((side) => side < 0).length, sides.length),
    longer: shareOf(lengths.filter((sign) => sign > 0).length, lengths.length),
    withOthers: withOthers(state, person, humans),
    seconds: middle === undefined ? null : middle / 1000,
  };
}

/** 1 where the judgment is for the longer answer, -1 for the shorter one, 0 for neither. */
function longerSign(store: LabelStore, { item, verdict }: Vote): number {
  if (verdict !== "a" && verdict !== "b") return 0;
  const { answers } = store.item(item).comparison;
  const apart = Math.sign(plainText(answers[0]).length - plainText(answers[1]).length);
  return verdict === "a" ? apart : -apart;
}

/** `hits` of `of`, with the 95 % interval. */
export function shareOf(hits: number, of: number): Share {
  return { share: hits / of, of, ...shareInterval(hits, of) };
}

function withOthers(
  state: LabelState,
  person: string,
  humans: readonly string[],
): PersonReport["withOthers"] {
  const own = state.firstVotes(person);
  const others = humans.filter((other) => other !== person).map((other) => state.firstVotes(other));
  const table = [...own].flatMap(([item, vote]) => {
    const most = mostOf(others.flatMap((of) => numberOf(of.get(item)) ?? []));
    const rating = numberOf(vote);
    return most === null || rating === null ? [] : [[rating, most]];
  });
  if (table.length === 0) return null;
  const value = cohenKappa(table, choices.length);
  const interval = bootstrapInterval(table.length, (draw) =>
    cohenKappa(
      Array.from(draw, (i) => table[i] ?? []),
      choices.length,
    ),
  );
  return { value, units: table.length, ...interval };
}

/** What is given most often; null where nothing is, or two are. */
function mostOf(given: readonly number[]): number | null {
  const counts = choices.map((_, k) => given.filter((value) => value === k).length);
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
  if (others !== null && others.units >= enough && others.low <= 0) {
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
