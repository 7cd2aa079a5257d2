/** What is known of a judge whose verdicts are labels. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { scratch } from "../../test/support/scratch.ts";
import type { Choice } from "./comparison.ts";
import { type JudgeFacts, judgeFacts, keepVerdicts } from "./judges.ts";
import { LabelStore } from "./label-store.ts";

const dir = mkdtempSync(join(scratch(), "preftune-judges-"));
after(() => rmSync(dir, { recursive: true, force: true }));
let stores = 0;

/** The share of verdicts for the answer shown first, of a judge that said this of as many items. */
function firstShareOf(said: readonly (readonly [Choice, Choice])[]): JudgeFacts["first"] | undefined {
  using store = new LabelStore(join(dir, `${stores++}.sqlite`), "salt");
  store.add(
    said.map((_, i) => ({
      ...{ prompt: `Question ${i}?`, answers: [`one ${i}`, `other ${i}`] as const },
      ...{ models: ["m", "n"] as const, votes: [], extra: {} },
    })),
  );
  keepVerdicts(
    store,
    "j",
    store.order.map((item, i) => ({ item, orders: said[i] ?? ["tie", "tie"] })),
  );
  return judgeFacts(store)[0]?.first;
}

test("a judge that goes by the place of an answer says one thing of an item, not two", () => {
  // whichever answer is shown first wins 32 items in both orders, and loses 18
  const biased = firstShareOf(Array.from({ length: 50 }, (_, i) => (i < 32 ? ["a", "b"] : ["b", "a"])));
  assert.deepEqual([biased?.share, biased?.of], [0.64, 100]);
  // 0.64 ± 1.96 sqrt(0.64 · 0.36 / 50), and not / 100
  const half = 1.96 * Math.sqrt((0.64 * 0.36) / 50);
  assert.ok(Math.abs((biased?.low ?? 0) - (0.64 - half)) < 0.025, `${biased?.low}`);
  assert.ok(Math.abs((biased?.high ?? 0) - (0.64 + half)) < 0.025, `${biased?.high}`);
  // one that sees which is better gives one verdict for each place, on every item
  const even = firstShareOf(Array.from({ length: 50 }, (_, i) => (i < 25 ? ["a", "a"] : ["b", "b"])));
  assert.deepEqual([even?.share, even?.of], [0.5, 100]);
  assert.ok((even?.low ?? 0) > 0.45 && (even?.high ?? 1) < 0.55);
  assert.equal(firstShareOf([["tie", "tie"]])?.of, 0);
});
