/** People at work: sides, repeats, undo, two tabs, crashes; what is said of them; what is exported. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { scratch } from "../../test/support/scratch.ts";
import { at } from "../base/at.ts";
import { Random } from "../base/random.ts";
import { castBattle, winRates } from "./battle.ts";
import type { Comparison } from "./comparison.ts";
import { exportLabels } from "./export-labels.ts";
import { LabelStore } from "./label-store.ts";
import {
  castVote,
  decide,
  flag,
  nextPair,
  noteOn,
  progressOf,
  type ShownPair,
  undoVote,
} from "./labelling.ts";
import { peopleReport } from "./people.ts";

const dir = mkdtempSync(join(scratch(), "preftune-workbench-"));
after(() => rmSync(dir, { recursive: true, force: true }));
let stores = 0;

function comparisonsOf(count: number): Comparison[] {
  return Array.from({ length: count }, (_, i) => ({
    prompt: `Question ${i}?`,
    answers: [`good ${i}`, `poor ${i}`],
    models: ["voice-one", "voice-two"],
    votes: [],
    extra: {},
  }));
}

function storeOf(count: number, people: readonly string[] = ["ann"]): LabelStore {
  const store = new LabelStore(join(dir, `${stores++}.sqlite`), "salt");
  store.add(comparisonsOf(count));
  for (const person of people) store.addPerson(person, "person");
  return store;
}

/** Judges every pair until none are left. */
function label(
  store: LabelStore,
  person: string,
  judge: (pair: ShownPair) => "left" | "right" | "tie" | "bad" | "skip",
  seed = 1,
): number {
  const random = new Random(seed);
  for (let count = 0; ; count++) {
    const pair = nextPair(store, person, { chance: (below) => random.below(below) });
    if (pair === null) return count;
    castVote(store, person, { showing: pair.showing, key: `k${count}`, verdict: judge(pair) });
  }
}

const good = ({ left }: ShownPair): "left" | "right" => (String(left).startsWith("good") ? "left" : "right");

test("sides are even within chance over 1,000 items, one in twenty returns exchanged, and nothing names a voice", () => {
  using store = storeOf(1000);
  let goodLeft = 0;
  const seen = new Map<string, ShownPair>();
  let returned = 0;
  const shown = label(store, "ann", (pair) => {
    assert.ok(!JSON.stringify(pair).includes("voice-"), "the pair tells who wrote it");
    const before = seen.get(String(pair.prompt));
    if (before === undefined) {
      seen.set(String(pair.prompt), pair);
      if (good(pair) === "left") goodLeft++;
    } else {
      returned++;
      assert.deepEqual([pair.left, pair.right], [before.right, before.left]);
    }
    return good(pair);
  });
  // 1,000 fair coins: the standard deviation is 15.8
  assert.ok(Math.abs(goodLeft - 500) < 4 * 15.8, `${goodLeft} of 1000 on the left`);
  assert.equal(seen.size, 1000);
  assert.equal(shown, 1000 + returned);
  // 1 in 20 of some 1,050 showings: 52, standard deviation 7
  assert.ok(returned > 52 - 28 && returned < 52 + 28, `${returned} returned`);
  assert.deepEqual(progressOf(store, "ann").labelled, 1000);
  const [ann] = peopleReport(store).people;
  assert.equal(ann?.selfAgreement.share, 1);
});

test("two tabs see the same pair; a double click, a second tab and a press sent again count once", () => {
  using store = storeOf(3);
  const pair = nextPair(store, "ann");
  assert.deepEqual(nextPair(store, "ann"), pair);
  const vote = { showing: pair?.showing ?? "", key: "k1", verdict: "left" } as const;
  assert.equal(castVote(store, "ann", vote), true);
  assert.equal(castVote(store, "ann", vote), false);
  assert.equal(castVote(store, "ann", { ...vote, key: "k2", verdict: "right" }), false);
  assert.equal(store.state().votes.size, 1);
  assert.notEqual(nextPair(store, "ann")?.showing, pair?.showing);
});

test("a crash between key and answer loses and doubles nothing: the press is sent again to a new process", () => {
  const path = join(dir, "crash.sqlite");
  const before = new LabelStore(path);
  before.add(comparisonsOf(3));
  before.addPerson("ann", "person");
  const pair = nextPair(before, "ann");
  const vote = { showing: pair?.showing ?? "", key: "k1", verdict: "left" } as const;
  // the vote is on the disk, its answer never arrives: nothing is closed
  castVote(before, "ann", vote);
  using after = new LabelStore(path);
  assert.equal(castVote(after, "ann", vote), false);
  assert.equal(after.state().votes.size, 1);
  // and one that never arrived is taken after the restart
  const next = nextPair(after, "ann");
  using again = new LabelStore(path);
  assert.equal(nextPair(again, "ann")?.showing, next?.showing);
  assert.equal(castVote(again, "ann", { ...vote, showing: next?.showing ?? "" }), true);
  before.close();
});

test("undo takes back the last vote, shows its pair again, and can go on to the one before", () => {
  using store = storeOf(5);
  const chance = () => 1;
  const first = nextPair(store, "ann", { chance });
  castVote(store, "ann", { showing: first?.showing ?? "", key: "1", verdict: "left" });
  const second = nextPair(store, "ann", { chance });
  castVote(store, "ann", { showing: second?.showing ?? "", key: "2", verdict: "tie" });
  const third = nextPair(store, "ann", { chance });
  const undo = (vote: number | null) => undoVote(store, "ann", vote ?? 0);
  const { last } = progressOf(store, "ann");
  assert.equal(undo(last), true);
  assert.equal(undo(last), false, "a double click, or a second tab");
  assert.equal(nextPair(store, "ann")?.showing, second?.showing);
  assert.equal(undo(progressOf(store, "ann").last), true);
  assert.equal(nextPair(store, "ann")?.showing, first?.showing);
  castVote(store, "ann", { showing: first?.showing ?? "", key: "3", verdict: "right" });
  castVote(store, "ann", { showing: second?.showing ?? "", key: "4", verdict: "left" });
  assert.equal(nextPair(store, "ann")?.showing, third?.showing);
  assert.deepEqual([...store.state().votes.values()].map(({ verdict }) => verdict).length, 2);
  assert.throws(
    () => castVote(store, "bob", { showing: third?.showing ?? "", key: "5", verdict: "left" }),
    /expected a pair that was shown to bob/,
  );
  assert.throws(
    () => nextPair(store, "bob"),
    /expected one of the people of this workbench \(ann\), got bob/,
  );
});

test("a planted side bias, a planted random labeller and a hasty one are reported; honest people are not", () => {
  using store = storeOf(200, ["ann", "bob", "cleo", "side", "dice"]);
  const random = new Random(9);
  const mostly = (pair: ShownPair) =>
    random.next() < 0.9 ? good(pair) : good(pair) === "left" ? "right" : "left";
  label(store, "ann", mostly, 1);
  label(store, "bob", mostly, 2);
  label(store, "cleo", mostly, 3);
  label(store, "side", (pair) => (random.next() < 0.5 ? "left" : good(pair)), 4);
  label(store, "dice", () => (random.next() < 0.5 ? "left" : "right"), 5);
  const { findings, agreement, people } = peopleReport(store);
  const found = findings.map(({ code, person }) => `${person} ${code}`);
  assert.ok(found.includes("side side_bias"), found.join(", "));
  assert.ok(found.includes("dice chance_agreement"), found.join(", "));
  assert.deepEqual(
    found.filter((text) => !/^(side|dice) /.test(text)),
    [],
  );
  assert.equal(agreement?.units, 200);
  assert.equal(people.find(({ person }) => person === "ann")?.labelled, 200);
});

test("rules of export: decisions before people, people before the file, ties and conflicts counted", () => {
  using store = storeOf(6, ["ann", "bob", "cleo"]);
  const given = at(comparisonsOf(7), 6);
  store.add([{ ...given, votes: [{ person: null, choice: "b" }] }]);
  const verdicts: Record<string, [string, string, string]> = {
    "Question 0?": ["good", "good", "good"],
    "Question 1?": ["good", "good", "poor"],
    "Question 2?": ["good", "poor", "skip"],
    "Question 3?": ["tie", "tie", "tie"],
    "Question 4?": ["bad", "bad", "bad"],
    "Question 5?": ["skip", "skip", "skip"],
    "Question 6?": ["skip", "skip", "skip"],
  };
  for (const [i, person] of ["ann", "bob", "cleo"].entries()) {
    label(store, person, (pair) => {
      const said = verdicts[String(pair.prompt)]?.[i] ?? "skip";
      if (said === "good" || said === "poor") return String(pair.left).startsWith(said) ? "left" : "right";
      return said as "tie" | "bad" | "skip";
    });
  }
  const one = exportLabels(store);
  assert.deepEqual(one.rows.map(({ prompt, chosen }) => [prompt, chosen]).toSorted(), [
    ["Question 0?", "good 0"],
    ["Question 6?", "poor 6"],
  ]);
  const { items, unlabelled, skipped, conflicts, ties, bad, used, byFile } = one.counts;
  assert.deepEqual(
    [items, unlabelled, skipped, conflicts, ties, bad, used, byFile],
    [7, 0, 1, 2, 1, 1, 2, 1],
  );
  const most = exportLabels(store, { conflicts: "majority" });
  assert.deepEqual([most.counts.used, most.counts.byMajority, most.counts.conflicts], [3, 1, 1]);
  const open = peopleReport(store).conflicts;
  assert.equal(open.length, 2);
  for (const item of open) decide(store, "owner", item, "tie");
  assert.deepEqual(peopleReport(store).conflicts, []);
  const kto = exportLabels(store, { rows: "kto", ties: "good", bad: "bad" });
  // two pairs give two rows each, three ties two good ones each, one bad two bad ones
  assert.deepEqual(kto.rows.map(({ label: isGood }) => isGood).toSorted(), [
    ...Array.from({ length: 4 }, () => false),
    ...Array.from({ length: 8 }, () => true),
  ]);
  assert.throws(
    () => exportLabels(store, { ties: "good" }),
    /rules for ties and bad answers other than "drop" are for rows of one answer/,
  );
});

test("an edited answer is the chosen one, and says so", () => {
  using store = storeOf(1);
  const pair = nextPair(store, "ann");
  const side = pair === null ? "left" : good(pair);
  castVote(store, "ann", {
    showing: pair?.showing ?? "",
    key: "1",
    verdict: side,
    edit: { side, text: "better still" },
  });
  const { rows, counts } = exportLabels(store);
  assert.deepEqual(
    [rows[0]?.["chosen"], rows[0]?.["rejected"], counts.edited],
    ["better still", "poor 0", 1],
  );
  assert.deepEqual((at(rows, 0)["meta"] as { models: unknown }).models, {
    chosen: "voice-one, edited",
    rejected: "voice-two",
  });
});

test("what was read in a transaction that failed is forgotten with it", () => {
  using store = storeOf(3);
  assert.throws(
    () =>
      store.transaction(() => {
        nextPair(store, "ann");
        store.addPerson("gone", "person");
        store.state();
        throw new Error("the disk is full");
      }),
    /the disk is full/,
  );
  assert.deepEqual([store.state().showings.size, store.state().people.has("gone")], [0, false]);
  // the next events get the same numbers
  const pair = nextPair(store, "ann");
  assert.equal(castVote(store, "ann", { showing: pair?.showing ?? "", key: "k", verdict: "tie" }), true);
  assert.equal(store.state().votes.size, 1);
});

test("a battle: who wrote the same words this time is who wins; it does not come back, and is not undone, once names were told", () => {
  using store = storeOf(0);
  const battle = (models: [string, string], showing: string, verdict: "left" | "right") =>
    castBattle(
      store,
      "ann",
      { prompt: "2+2?", answers: ["4", "5"], models, votes: [], extra: {} },
      { showing, key: "vote", verdict },
    );
  battle(["base", "other"], "b1", "left");
  battle(["tuned", "other"], "b2", "left");
  const rates = winRates(store).map(({ one, other, rate }) => [one, other, rate]);
  assert.deepEqual(rates, [
    ["base", "other", 1],
    ["other", "tuned", 0],
  ]);
  assert.equal(progressOf(store, "ann").last, null);
  assert.equal(nextPair(store, "ann", { chance: () => 0 }), null);
  // both answers the same words: the side's own contestant
  const same = { prompt: "x", answers: ["y", "y"], models: ["p", "q"], votes: [], extra: {} } as const;
  castBattle(store, "ann", same, { showing: "b3", key: "vote", verdict: "right" });
  castBattle(store, "ann", { ...same, models: ["q", "p"] }, { showing: "b4", key: "vote", verdict: "right" });
  const [, , equal] = winRates(store);
  assert.deepEqual([equal?.one, equal?.rate, equal?.judgments], ["p", 0.5, 2]);
});

test("notes and flags of others are not shown: they would lead", () => {
  using store = storeOf(1, ["ann", "bob"]);
  const [ann, bob] = [nextPair(store, "ann"), nextPair(store, "bob")];
  noteOn(store, "ann", ann?.showing ?? "", "the left one is the old model");
  flag(store, "ann", ann?.showing ?? "", true);
  const seen = nextPair(store, "bob");
  assert.deepEqual([seen?.showing, seen?.note, seen?.isFlagged], [bob?.showing, "", false]);
  const own = nextPair(store, "ann");
  assert.deepEqual([own?.note, own?.isFlagged], ["the left one is the old model", true]);
  flag(store, "bob", bob?.showing ?? "", true);
  flag(store, "ann", ann?.showing ?? "", false);
  assert.deepEqual([...(store.state().flags.get(store.order[0] ?? "") ?? [])], ["bob"]);
});

test("rows of a file that contradict each other are a conflict; models are named by a later file; edits that lose are counted", () => {
  using store = storeOf(0, ["ann", "bob", "cleo"]);
  const pair: Comparison = {
    ...at(comparisonsOf(1), 0),
    models: [null, null],
    votes: [{ person: null, choice: "a" }],
  };
  store.add([pair, { ...pair, votes: [{ person: null, choice: "b" }] }]);
  assert.equal(exportLabels(store).counts.conflicts, 1);
  assert.deepEqual(peopleReport(store).conflicts, [...store.order]);
  store.add(comparisonsOf(1));
  assert.deepEqual(store.item(store.order[0] ?? "").comparison.models.toSorted(), ["voice-one", "voice-two"]);
  // most say "good"; the one who says "poor" has edited it
  for (const person of ["ann", "bob", "cleo"]) {
    const shown = nextPair(store, person);
    const side = shown !== null && good(shown) === "left" ? "left" : "right";
    const other = side === "left" ? "right" : "left";
    const vote = { showing: shown?.showing ?? "", key: "k" };
    if (person === "cleo")
      castVote(store, person, { ...vote, verdict: other, edit: { side: other, text: "edited" } });
    else castVote(store, person, { ...vote, verdict: side });
  }
  const { rows, counts } = exportLabels(store, { conflicts: "majority" });
  assert.deepEqual([rows[0]?.["chosen"], counts.edited, counts.editsLeftOut], ["good 0", 0, 1]);
});

test("rows of an export: tools stay columns, texts among conversations become messages, which is counted", () => {
  using store = storeOf(0);
  const tools = [{ type: "function", function: { name: "look" } }];
  const judged = { models: [null, null], votes: [{ person: null, choice: "a" }] } as const;
  const asked = [{ role: "user" as const, content: "Look." }];
  const say = (content: string) => [{ role: "assistant" as const, content }];
  store.add([
    { ...judged, prompt: asked, answers: [say("yes"), say("no")], extra: { tools, topic: 3 } },
    { ...judged, prompt: "x", answers: ["y", "z"], extra: {} },
  ]);
  const { rows, counts } = exportLabels(store);
  assert.equal(counts.textsAsMessages, 1);
  assert.deepEqual(rows.find((row) => "tools" in row)?.["tools"], tools);
  const text = rows.find((row) => !("tools" in row));
  assert.deepEqual(text?.["prompt"], [{ role: "user", content: "x" }]);
  assert.deepEqual(text?.["chosen"], say("y"));
  const { meta } = rows.find((row) => "tools" in row) as { meta: { extra: string } };
  assert.deepEqual(JSON.parse(meta.extra), { topic: 3 });
  // an answer of several messages is not edited into one
  store.add([
    { ...judged, prompt: "w", answers: [[...say("a"), ...asked, ...say("b")], say("c")], extra: {} },
  ]);
  for (let i = 0; i < 3; i++) {
    const shown = nextPair(store, "ann", { chance: () => 1 });
    const side = shown?.left.length === 3 ? "left" : "right";
    const vote = { showing: shown?.showing ?? "", key: "k", verdict: side } as const;
    if (shown?.prompt === "w")
      assert.throws(
        () => castVote(store, "ann", { ...vote, edit: { side, text: "t" } }),
        /expected an answer of one text to edit/,
      );
    castVote(store, "ann", vote);
  }
});

test("adding the same rows again changes nothing; a damaged file is refused in words", () => {
  using store = storeOf(3);
  assert.deepEqual(store.add(comparisonsOf(4)), { items: 1, known: 3, votes: 0 });
  assert.throws(
    () => new LabelStore(dir),
    /expected to keep labels in this SQLite file, but: .*What was labelled before is kept/,
  );
});
