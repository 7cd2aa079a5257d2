/** What is said of people: intervals where nobody differs, warnings, many thousands of people, work done once. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { scratch } from "../../test/support/scratch.ts";
import { at } from "../base/at.ts";
import { Random } from "../base/random.ts";
import { agreementOf } from "../stats/agreement.ts";
import { shareInterval } from "../stats/bootstrap.ts";
import { winRates } from "./battle.ts";
import { type Choice, type Comparison, inOrder } from "./comparison.ts";
import { exportLabels, saidByPeople } from "./export-labels.ts";
import { judgeFacts, keepVerdicts } from "./judges.ts";
import { LabelStore } from "./label-store.ts";
import { castVote, decide, nextPair } from "./labelling.ts";
import { agreementLines, personRows } from "./labels-text.ts";
import { peopleReport } from "./people.ts";

const dir = mkdtempSync(join(scratch(), "preftune-people-"));
after(() => rmSync(dir, { recursive: true, force: true }));
let stores = 0;

/** Pairs with what people say of them; "a" and "b" are those of the item. */
function judgedStore(said: readonly Readonly<Record<string, Choice>>[]): LabelStore {
  const store = new LabelStore(join(dir, `${stores++}.sqlite`), "salt");
  store.add(
    said.map((votes, i): Comparison => {
      const pair = { prompt: `Question ${i}?`, answers: [`one ${i}`, `other ${i}`] as const };
      const judged = Object.entries(votes).map(([person, choice]) => ({ person, choice }));
      const { answers } = inOrder({ ...pair, models: [null, null], votes: [], extra: {} });
      return { ...pair, answers, models: ["m", "n"], votes: judged, extra: {} };
    }),
  );
  return store;
}

const sides = (count: number) => Array.from({ length: count }, (_, i): Choice => (i % 2 === 0 ? "a" : "b"));

test("who never differs has an interval with a width, of a person as of a judge, the same as of both together", () => {
  using store = judgedStore(sides(24).map((choice) => ({ ann: choice, bob: choice })));
  keepVerdicts(
    store,
    "j",
    [...store.state().votes.values()].flatMap(({ item, person, verdict }) =>
      person === "ann" && verdict !== "skip" ? [{ item, orders: [verdict, verdict] as const }] : [],
    ),
  );
  const { people, agreement } = peopleReport(store);
  const low = agreement?.kappa?.low ?? Number.NaN;
  assert.ok(low > 0 && low < 0.9, `${low}`);
  assert.deepEqual(
    people.map(({ person, withOthers }) => [person, withOthers?.low]),
    [
      ["ann", low],
      ["bob", low],
      ["j (judge)", low],
    ],
  );
  assert.equal(judgeFacts(store)[0]?.withPeople?.low, low);
});

test("one common answer is no warning, though kappa is 0: AC1 is high; a guesser of two answers is one", () => {
  // 94 both say equal, six differ
  using alike = judgedStore(
    Array.from({ length: 100 }, (_, i) => ({ ann: i < 3 ? "a" : "tie", bob: i > 96 ? "b" : "tie" })),
  );
  const { people, findings } = peopleReport(alike);
  assert.ok((people[0]?.withOthers?.low ?? 1) <= 0);
  assert.deepEqual(findings, []);
  const random = new Random(4);
  using guessed = judgedStore(
    sides(100).map((choice, i) => ({
      ann: i % 10 === 0 ? "tie" : choice,
      bob: random.next() < 0.5 ? "a" : "b",
    })),
  );
  assert.deepEqual(
    peopleReport(guessed).findings.map(({ code, person }) => [code, person]),
    [
      ["chance_agreement", "ann"],
      ["chance_agreement", "bob"],
    ],
  );
});

test("fewer than 20 common pairs: a kappa without an interval, which is said", () => {
  using store = judgedStore(sides(19).map((choice) => ({ ann: choice, bob: choice })));
  const report = peopleReport(store);
  const [ann] = report.people;
  assert.deepEqual(
    [ann?.withOthers?.value, ann?.withOthers?.low, ann?.withOthers?.units],
    [1, Number.NaN, 19],
  );
  assert.equal(personRows(report)[0]?.[3], "1.00 on 19 pairs");
  // the name is not run into its number
  assert.match(agreementLines(report).join("\n"), /^Krippendorff's alpha {2}\S/m);
  assert.ok(agreementLines(report).includes("The interval of a person's kappa needs 20 common pairs."));
});

test("three people: what is said together is what the whole table says", () => {
  const random = new Random(5);
  const draw = (choice: Choice): Choice => (random.next() < 0.8 ? choice : "tie");
  const said = sides(60).map((choice, i) => ({
    ann: draw(choice),
    ...(i % 3 === 0 ? {} : { bob: draw(choice) }),
    cleo: draw(choice),
  }));
  using store = judgedStore(said);
  const { agreement } = peopleReport(store);
  const choices = ["a", "b", "tie", "bad"];
  const table = said.map((votes) =>
    ["ann", "bob", "cleo"].map((person) => {
      const verdict = (votes as Record<string, Choice>)[person];
      return verdict === undefined ? null : choices.indexOf(verdict);
    }),
  );
  const whole = agreementOf(table, 4);
  assert.deepEqual([agreement?.kappa, agreement?.units], [null, whole.units]);
  for (const name of ["raw", "ac1", "alpha"] as const)
    for (const end of ["value", "low", "high"] as const)
      assert.ok(Math.abs((agreement?.[name][end] ?? 9) - whole[name][end]) < 1e-12, `${name}.${end}`);
});

test("thousands of people who judge three pairs each take seconds, and nothing twice", () => {
  const random = new Random(6);
  using store = judgedStore(
    Array.from({ length: 11_000 }, () => {
      const person = () => `judge_${random.below(4300)}`;
      const choice = (): Choice => (random.next() < 0.5 ? "a" : "b");
      return { [person()]: choice(), ...(random.next() < 0.1 ? { [person()]: choice() } : {}) };
    }),
  );
  const before = process.cpuUsage();
  const report = peopleReport(store);
  const { user, system } = process.cpuUsage(before);
  assert.ok(report.people.length > 3500);
  // people by pairs would be some 40 million places, each resampled a thousand times
  assert.ok((user + system) / 1e6 < 20, `${(user + system) / 1e6} s of processor time`);
  assert.equal(peopleReport(store), report);
  decide(store, "owner", at(store.order, 0), "tie");
  assert.notEqual(peopleReport(store), report);
});

test("win rates: 30 pairs that two people judge alike are 30, not 60", () => {
  using store = judgedStore(sides(30).map(() => ({})));
  for (const person of ["ann", "bob"]) {
    store.addPerson(person, "person");
    for (let count = 0; count < 30; ) {
      const pair = nextPair(store, person, { chance: () => 1 });
      const { models, answers } = store.item(
        [...store.state().showings.values()].at(-1)?.item ?? "",
      ).comparison;
      const isLeft = pair?.left === answers[models[0] === "m" ? 0 : 1];
      const verdict = isLeft ? "left" : "right";
      if (castVote(store, person, { showing: pair?.showing ?? "", key: "k", verdict })) count++;
    }
  }
  assert.deepEqual(winRates(store), [
    { one: "m", other: "n", rate: 1, pairs: 30, judgments: 60, ...shareInterval(30, 30) },
  ]);
});

test("a pair that everybody skipped is skipped, though a judge has judged it", () => {
  using store = judgedStore([{}, {}]);
  keepVerdicts(
    store,
    "j",
    store.order.map((item) => ({ item, orders: ["a", "a"] as const })),
  );
  store.addPerson("ann", "person");
  const skipped = nextPair(store, "ann", { chance: () => 1 });
  castVote(store, "ann", { showing: skipped?.showing ?? "", key: "k", verdict: "skip" });
  assert.deepEqual([...saidByPeople(store).values()].toSorted(), [null, "skip"].toSorted());
  // in an export the judge's verdict counts, as where nobody looked at it
  assert.equal(exportLabels(store).counts.byJudge, 2);
});
