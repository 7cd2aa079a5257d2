/**
 * One person at work: the next pair, its sides drawn at random and its voices unnamed; votes, undo, notes and flags.
 * What these functions give out says nothing of who wrote which side: it may be sent to anybody.
 */
import { randomInt, randomUUID } from "node:crypto";
import { DataError } from "../base/errors.ts";
import type { Answer } from "../data/answer-columns.ts";
import { type Choice, inputsText, otherThan } from "./comparison.ts";
import type { LabelState, Showing, ShowingOrder, Verdict, Vote } from "./label-events.ts";
import type { LabelStore } from "./label-store.ts";

/** A pair as a person sees it. */
export interface ShownPair {
  showing: string;
  /** Tools that could be called and variables of the template, as text; "" where the pair has none. */
  inputs: string;
  prompt: Answer;
  left: Answer;
  right: Answer;
  /** The person's own note and flag: others' would lead them. */
  note: string;
  isFlagged: boolean;
}

/** A pair whose messages are texts: a browser that read tool calls would change their numbers. */
export interface ShownTexts extends ShownPair {
  prompt: string;
  left: string;
  right: string;
}

/** How far a person is. */
export interface Progress {
  labelled: number;
  skipped: number;
  items: number;
  /** Items an hour over the last votes, pauses of more than ten minutes left out; null before the second vote. */
  perHour: number | null;
  /** The vote that {@link undoVote} takes back; null: there is none. */
  last: number | null;
}

/** What a person says of the pair before them. */
export interface SidedVote {
  showing: string;
  /** The key of the press, which a page keeps when it sends again. */
  key: string;
  verdict: "left" | "right" | "tie" | "bad" | "skip";
  strength?: 1 | 2;
  ms?: number;
  reason?: string;
  edit?: { side: "left" | "right"; text: string };
}

/** Decides by chance. Default: by the system's secure numbers. */
export type Chance = (below: number) => number;

/** One item in this many returns. */
const repeatEvery = 20;

/** Votes between an item and its return, at least. */
const repeatAfter = 5;

const secure: Chance = (below) => randomInt(below);

/** How the next pair is found. */
export interface NextOptions {
  chance?: Chance;
  /** "uncertain": the items of the largest `uncertainty` first. */
  order?: ShowingOrder;
  /** How unsure a model or judge is of an item, larger for less sure. */
  uncertainty?: (item: string) => number;
}

/**
 * The pair for `person` to judge, or null when there are none left. A pair that was shown and not judged is shown again, the same in
 * every tab; one in twenty has been judged before and returns with its sides exchanged.
 */
export function nextPair(store: LabelStore, person: string, options: NextOptions = {}): ShownPair | null {
  return nextPairs(store, person, 1, options)[0] ?? null;
}

/**
 * That pair and those after it, `count` at most: what a page has before it is asked for can be shown at once. Those after it are drawn
 * before the pair is judged, and stay the ones that are shown.
 */
export function nextPairs(
  store: LabelStore,
  person: string,
  count: number,
  options: NextOptions = {},
): ShownPair[] {
  requirePerson(store.state(), person);
  return store.transaction(() => {
    let open = openShowings(store.state(), person);
    while (open.length < count) {
      const drawn = draw(store, store.state(), person, options);
      if (drawn === null) break;
      const { item, ...body } = drawn;
      store.append({ kind: "shown", person, item, showing: randomUUID(), body });
      open = openShowings(store.state(), person);
    }
    const state = store.state();
    return open.slice(0, count).map((showing) => pairOf(store, state, showing));
  });
}

/** What was given out to the person and is not judged, the oldest first. */
function openShowings(state: LabelState, person: string): Showing[] {
  return [...state.showings.values()]
    .filter((showing) => showing.person === person && showing.vote === null)
    .toSorted((a, b) => a.seq - b.seq);
}

function draw(
  store: LabelStore,
  state: LabelState,
  person: string,
  { chance = secure, order = "random", uncertainty = () => 0 }: NextOptions,
): { item: string; swapped: boolean; isRepeat: boolean; order: ShowingOrder } | null {
  const judged = [...state.votes.values()].filter((vote) => vote.person === person && vote.showing !== null);
  const open = openShowings(state, person).map(({ item }) => item);
  const again =
    chance(repeatEvery) === 0
      ? forRepeat(
          judged.filter(({ item }) => !open.includes(item)),
          chance,
        )
      : null;
  if (again?.showing != null)
    return { item: again.item, swapped: !again.showing.swapped, isRepeat: true, order };
  const done = new Set([...open, ...judged.map(({ item }) => item)]);
  const left = store.order.filter((id) => !done.has(id));
  const item = order === "random" ? left[0] : firstLargest(left, uncertainty);
  return item === undefined ? null : { item, swapped: chance(2) === 1, isRepeat: false, order };
}

/** The item of the largest value, the first of equal ones. */
function firstLargest(items: readonly string[], sizeOf: (item: string) => number): string | undefined {
  let largest: { item: string; value: number } | undefined;
  for (const item of items) {
    const value = sizeOf(item);
    if (largest === undefined || value > largest.value) largest = { item, value };
  }
  return largest?.item;
}

/** One of the items that were judged some votes ago and have not come back. */
function forRepeat(judged: readonly Vote[], chance: Chance): Vote | null {
  const returned = new Set(judged.filter(({ showing }) => showing?.isRepeat).map(({ item }) => item));
  const found = judged
    .slice(0, -repeatAfter)
    .filter(({ item, verdict, showing }) => verdict !== "skip" && isBlind(showing) && !returned.has(item));
  return found.length === 0 ? null : (found[chance(found.length)] ?? null);
}

/** Whether nobody was told who wrote what of this showing: after a battle the person was. */
function isBlind(showing: Showing | null): boolean {
  return showing !== null && showing.models === undefined;
}

function pairOf(store: LabelStore, state: LabelState, { id, item, swapped, person }: Showing): ShownPair {
  const { comparison } = store.item(item);
  const { prompt, answers } = comparison;
  const [left, right] = swapped ? answers.toReversed() : answers;
  if (left === undefined || right === undefined) throw new RangeError(`item ${item} has no two answers`);
  return {
    showing: id,
    inputs: inputsText(comparison),
    prompt,
    left,
    right,
    note: state.notes.get(item)?.find((note) => note.person === person)?.text ?? "",
    isFlagged: state.flags.get(item)?.has(person) === true,
  };
}

/**
 * Keeps a vote; it is on the disk when this returns.
 *
 * @returns false where this showing has its vote already: from another tab, or from the same press sent twice
 * @throws {DataError} where the showing is not this person's, or the edited answer is more than one text
 */
export function castVote(store: LabelStore, person: string, vote: SidedVote): boolean {
  return store.transaction(() => {
    const showing = ownShowing(store, person, vote.showing);
    if (showing.vote !== null) return false;
    const { key, ms = null, strength = 1, reason, edit } = vote;
    if (edit !== undefined) requirePlain(store, showing, edit.side);
    return store.append({
      kind: "vote",
      person,
      item: showing.item,
      showing: showing.id,
      key: voteKey({ showing: showing.id, key }),
      body: {
        verdict: verdictOf(vote.verdict, showing),
        strength,
        ms,
        ...(reason === undefined ? {} : { reason }),
        ...(edit === undefined ? {} : { edit: { answer: answerAt(edit.side, showing), text: edit.text } }),
      },
    });
  });
}

type Press = Pick<SidedVote, "showing" | "key">;

const voteKey = ({ showing, key }: Press): string => `vote ${showing} ${key}`;

/** Whether the vote of this very press was kept, now or before; where {@link castVote} says false and this too, another one stands. */
export function isKept(store: LabelStore, press: Press): boolean {
  return store.has(voteKey(press));
}

function verdictOf(verdict: SidedVote["verdict"], showing: Showing): Verdict {
  return verdict === "left" || verdict === "right" ? answerAt(verdict, showing) : verdict;
}

function answerAt(side: "left" | "right", { swapped }: Showing): "a" | "b" {
  const answer = side === "left" ? "a" : "b";
  return swapped ? otherThan(answer) : answer;
}

/** An edited answer is one text: of several messages, calls of tools or thoughts it would make one message. */
function requirePlain(store: LabelStore, showing: Showing, side: "left" | "right"): void {
  const answer = store.item(showing.item).comparison.answers[answerAt(side, showing) === "a" ? 0 : 1];
  if (isPlain(answer)) return;
  throw new DataError(
    "expected an answer of one text to edit, got one with several messages, calls of tools or thoughts. Judge it as it is, or skip it.",
  );
}

function isPlain(answer: Answer): boolean {
  if (typeof answer === "string") return true;
  const [only, ...more] = answer;
  return more.length === 0 && only?.tool_calls === undefined && (only?.reasoning_content ?? "") === "";
}

/** The person's last vote of a pair that was shown blind. */
function lastVote(state: LabelState, person: string): Vote | null {
  return (
    [...state.votes.values()].findLast((vote) => vote.person === person && isBlind(vote.showing)) ?? null
  );
}

/**
 * Takes back the person's last vote, whose pair is shown next. A battle's is not: its contestants were named.
 *
 * @param vote - `last` of {@link progressOf}, as the page knew it: a second press of the same, or one in another tab, takes nothing more
 * @returns whether it was taken back
 */
export function undoVote(store: LabelStore, person: string, vote: number): boolean {
  return store.transaction(() => {
    const last = lastVote(store.state(), person);
    if (last?.seq !== vote) return false;
    const { seq, item, showing } = last;
    return store.append({ kind: "undo", person, item, showing: showing?.id ?? "", body: { vote: seq } });
  });
}

/** Keeps a note on the pair of a showing. @throws {DataError} where the showing is not this person's */
export function noteOn(store: LabelStore, person: string, showing: string, text: string): void {
  const { item } = ownShowing(store, person, showing);
  store.append({ kind: "note", person, item, showing, body: { text } });
}

/** Flags the pair of a showing, or takes the flag away. @throws {DataError} where the showing is not this person's */
export function flag(store: LabelStore, person: string, showing: string, isSet: boolean): void {
  const { item } = ownShowing(store, person, showing);
  store.append({ kind: "flag", person, item, showing, body: { isSet } });
}

/** What counts for an item, whatever was voted; null: what was voted. */
export function decide(store: LabelStore, person: string, item: string, choice: Choice | null): void {
  store.item(item);
  store.append({ kind: "decision", person, item, body: { choice } });
}

const pauseMs = 600_000;

/** How far the person is. */
export function progressOf(store: LabelStore, person: string): Progress {
  const state = store.state();
  const votes = [...state.votes.values()].filter((vote) => vote.person === person && vote.showing !== null);
  const firsts = votes.filter(({ showing }) => showing?.isRepeat === false);
  const times = votes.slice(-50).map(({ time }) => Date.parse(time));
  const gaps = times.slice(1).map((time, i) => time - (times[i] ?? time));
  const worked = gaps.filter((gap) => gap <= pauseMs);
  const total = worked.reduce((sum, gap) => sum + gap, 0);
  return {
    labelled: firsts.filter(({ verdict }) => verdict !== "skip").length,
    skipped: firsts.filter(({ verdict }) => verdict === "skip").length,
    items: store.order.length,
    perHour: total === 0 ? null : Math.round((worked.length * 3_600_000) / total),
    last: lastVote(state, person)?.seq ?? null,
  };
}

function ownShowing(store: LabelStore, person: string, id: string): Showing {
  const showing = store.state().showings.get(id);
  if (showing?.person === person) return showing;
  throw new DataError(`expected a pair that was shown to ${person}, got ${id}. Ask for the next pair.`);
}

function requirePerson(state: LabelState, person: string): void {
  if (state.people.get(person) === "person") return;
  const known = [...state.people].filter(([, kind]) => kind === "person").map(([name]) => name);
  throw new DataError(
    `expected one of the people of this workbench (${known.join(", ") || "there are none"}), got ${person}. Add the name first.`,
  );
}
