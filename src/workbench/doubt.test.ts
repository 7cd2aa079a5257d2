/** Which pairs come first for people: those that judges and models are unsure of. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { scratch } from "../../test/support/scratch.ts";
import { winRates } from "./battle.ts";
import { doubtOf, keepMargins } from "./doubt.ts";
import { keepVerdicts } from "./judges.ts";
import { LabelStore } from "./label-store.ts";
import { castVote, nextPair } from "./labelling.ts";

const dir = mkdtempSync(join(scratch(), "preftune-doubt-"));
after(() => rmSync(dir, { recursive: true, force: true }));
let stores = 0;

function storeOf(count: number): LabelStore {
  const store = new LabelStore(join(dir, `${stores++}.sqlite`), "salt");
  const prompts = Array.from({ length: count }, (_, i) => `Question ${i}?`);
  store.add(
    prompts.map((prompt) => ({
      prompt,
      answers: ["yes", "no"],
      models: ["one", "two"],
      votes: [],
      extra: {},
    })),
  );
  store.addPerson("ann", "person");
  return store;
}

test("pairs that judges are unsure of come first: those that judges differ on, then those nobody judged; they enter no win rate", () => {
  using store = storeOf(5);
  const [sure, unknown, changed, leaning, differing] = store.order.map((item) => item) as [
    ...[string, string, string, string, string],
  ];
  keepVerdicts(store, "one", [
    { item: sure, orders: ["b", "b"] },
    { item: changed, orders: ["a", "b"] },
    { item: leaning, orders: ["a", "a"] },
    { item: differing, orders: ["a", "a"] },
  ]);
  keepVerdicts(store, "two", [
    { item: leaning, orders: ["a", "tie"] },
    { item: differing, orders: ["b", "b"] },
  ]);
  const doubt = doubtOf(store);
  assert.deepEqual([sure, unknown, changed, leaning, differing].map(doubt), [0, 0.5, 1, 0.25, 1]);
  const seen = store.order.map((_, i) => {
    // 1: no item returns
    const pair = nextPair(store, "ann", { order: "uncertain", uncertainty: doubt, chance: () => 1 });
    assert.ok(pair !== null);
    castVote(store, "ann", { showing: pair.showing, key: `k${i}`, verdict: "left" });
    return store.state().showings.get(pair.showing)?.item;
  });
  assert.deepEqual(seen, [changed, differing, unknown, leaning, sure]);
  assert.deepEqual(winRates(store), []);
});

test("pairs that models are unsure of: by the order of their margins, the last of each item; with a judge the mean of both", () => {
  using store = storeOf(4);
  const [close, far, unknown, middle] = store.order.map((item) => item) as [string, string, string, string];
  keepMargins(store, "m", [
    { item: close, margin: 7 },
    { item: far, margin: -3 },
    { item: middle, margin: 0.2 },
  ]);
  keepMargins(store, "m", [{ item: close, margin: -0.1 }]);
  assert.deepEqual([close, middle, far, unknown].map(doubtOf(store)), [1, 0.5, 0, 0.5]);
  // in other units: no matter
  keepMargins(store, "reward", [
    { item: close, margin: 900 },
    { item: unknown, margin: -800 },
  ]);
  assert.deepEqual([close, middle, far, unknown].map(doubtOf(store)), [0.5, 0.5, 0, 1]);
  keepVerdicts(store, "judge", [{ item: far, orders: ["a", "b"] }]);
  assert.deepEqual(doubtOf(store)(far), 0.5);
  assert.throws(() => keepMargins(store, "m", [{ item: "none", margin: 1 }]), /none/);
});
