/** Many pairs at once: in parts that others can write between, and that stay when the rest fails. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { Worker } from "node:worker_threads";
import { scratch } from "../../test/support/scratch.ts";
import type { Comparison } from "./comparison.ts";
import { doubtOf, keepMargins } from "./doubt.ts";
import { LabelStore } from "./label-store.ts";

const dir = mkdtempSync(join(scratch(), "preftune-store-"));
after(() => rmSync(dir, { recursive: true, force: true }));

const pairs = Array.from(
  { length: 2500 },
  (_, i): Comparison => ({
    ...{ prompt: `Question ${i}?`, answers: [`one ${i}`, `other ${i}`], models: [null, null], extra: {} },
    votes: [{ person: "ann", choice: "a" }],
  }),
);

test("an import that is cut short is continued by the same one, and each part of it is there for others at once", () => {
  const path = join(dir, "cut.sqlite");
  using store = new LabelStore(path, "salt");
  using other = new LabelStore(path);
  const seen: number[] = [];
  const cut = pairs.map((pair, i) => ({
    ...pair,
    get extra() {
      if (i === 1500) seen.push(other.order.length);
      if (i === 2200) throw new Error("killed");
      return {};
    },
  }));
  assert.throws(() => store.add(cut), /killed/);
  assert.deepEqual([seen, other.order.length, other.state().votes.size], [[1000], 2000, 2000]);
  assert.deepEqual(store.add(pairs), { items: 500, known: 2000, votes: 500 });
  assert.deepEqual(store.add(pairs), { items: 0, known: 2500, votes: 0 });
  assert.deepEqual([store.order.length, store.state().votes.size], [2500, 2500]);
  // within a transaction all or nothing, as ever
  assert.throws(() =>
    store.transaction(() => {
      store.add(pairs.map((pair) => ({ ...pair, prompt: "new" })));
      throw new Error("no");
    }),
  );
  assert.equal(store.order.length, 2500);
  // margins up to the thousand before an unknown item stay
  const margins = store.order.map((item) => ({ item, margin: 1 }));
  assert.throws(() => keepMargins(store, "m", margins.with(1200, { item: "none", margin: 1 })), /none/);
  assert.equal(other.state().margins.get("m (model)")?.size, 1000);
  keepMargins(store, "m", margins);
  assert.equal(other.state().margins.get("m (model)")?.size, 2500);
  assert.equal(doubtOf(store)(store.order[0] ?? ""), 0);
});

test("somebody writes while a file is imported", async () => {
  // on a busy machine the import may be over before this process has its turn: then once more
  let found = 8000;
  for (let round = 0; round < 10 && found === 8000; round++) {
    const path = join(dir, `both-${round}.sqlite`);
    using store = new LabelStore(path, "salt");
    const code = `
      import { LabelStore } from ${JSON.stringify(new URL("./label-store.ts", import.meta.url).href)};
      const store = new LabelStore(${JSON.stringify(path)});
      const pairs = Array.from({ length: 8000 }, (_, i) => ({
        prompt: "Question " + i, answers: ["one", "other"], models: [null, null], votes: [], extra: {},
      }));
      store.add(pairs);
      store.close();`;
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`));
    const ended = new Promise((resolve, reject) => worker.once("exit", resolve).once("error", reject));
    while (store.order.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    store.addPerson("ann", "person");
    found = store.order.length;
    await ended;
    assert.equal(store.order.length, 8000);
  }
  assert.ok(found < 8000, "the whole file was there each time before the other one could write");
});
