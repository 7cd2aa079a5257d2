/** The collapse watch on several ranks sees what one process sees, whether each has the model gathered or they go block by block. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { WatchedAnswers } from "../../src/recipes/watch.ts";
import { type ExportCase, fullTuning, makeDeepModel, makeExportCases } from "../support/export-cases.ts";
import { allEnded, freePort, placesOf, startRankPrograms } from "../support/rank-processes.ts";
import { temporaryDirectory } from "../support/tiny-models.ts";
import type { WatchPlan } from "../support/watch-rank-child.ts";

type Seen = WatchedAnswers & { most: number; left: number };

const dir = temporaryDirectory();
after(() => dir[Symbol.dispose]());
let cases: ExportCase[] = [];
before(() => {
  cases = makeExportCases(dir.path);
});

/** What each of `size` processes sees, a line a model and way. */
async function seenBy(size: number, plan: WatchPlan): Promise<Seen[][]> {
  const file = "watch-rank-child.ts";
  const places = size === 1 ? [{}] : placesOf(size, await freePort());
  const ranks = startRankPrograms(file, places, [JSON.stringify(plan)]);
  return (await allEnded(ranks)).map(({ status, stdout, stderr }) => {
    assert.equal(status, 0, stderr);
    return stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Seen);
  });
}

// 5 prompts on 2 ranks; on 3 ranks 2, of which one rank has none
for (const [size, prompts] of [
  [2, 5],
  [3, 2],
] as const) {
  test(`${size} ranks, ${prompts} prompts: the answers of one process, token for token, in either way`, async () => {
    const [alone = []] = await seenBy(1, { cases, ways: ["gathered"], prompts });
    const seen = await seenBy(size, { cases, ways: ["gathered", "in lockstep"], prompts });
    assert.equal(alone.length, cases.length);
    for (const lines of seen) {
      for (const [i, { figures, samples, left }] of lines.entries()) {
        const expected = alone[Math.floor(i / 2)] ?? assert.fail();
        assert.deepEqual(samples, expected.samples);
        assert.deepEqual(Object.keys(figures), Object.keys(expected.figures));
        for (const [name, value] of Object.entries(figures)) {
          const far = Math.abs(value - (expected.figures[name] ?? Number.NaN));
          assert.ok(far < 1e-4, `${name}: ${value}, one process ${expected.figures[name]}`);
        }
        assert.equal(left, 0);
      }
    }
    const lengths = alone.flatMap(({ samples }) => samples.flatMap(({ answers }) => answers));
    assert.ok(lengths.some(({ ended }) => ended) && lengths.some(({ ended }) => !ended));
  });
}

test("in lockstep a rank never has more than embedding, head and some blocks", async () => {
  const selection = fullTuning(makeDeepModel(join(dir.path, "deep")));
  const plan: WatchPlan = {
    cases: [{ name: "deep", selection, dtype: "float32" }],
    ways: ["gathered", "in lockstep"],
    prompts: 3,
  };
  for (const [gathered, together] of await seenBy(2, plan)) {
    assert.ok(gathered !== undefined && together !== undefined);
    assert.ok(together.most < gathered.most / 2, `${together.most} bytes, gathered ${gathered.most}`);
    assert.deepEqual(together.samples, gathered.samples);
  }
});

// more prompts than are sampled at once: those that wait have a pass of their own
test("in lockstep a pass that fails half way on one rank ends all ranks, with its name", {
  timeout: 60_000,
}, async () => {
  const plan: WatchPlan = { cases: cases.slice(0, 1), ways: ["in lockstep"], prompts: 40, fails: true };
  const ranks = startRankPrograms("watch-rank-child.ts", placesOf(2, await freePort()), [
    JSON.stringify(plan),
  ]);
  const hang = setTimeout(() => {
    for (const { child } of ranks) child.kill("SIGKILL");
  }, 40_000);
  const ends = await allEnded(ranks);
  clearTimeout(hang);
  for (const { status, stderr } of ends) {
    assert.equal(status, 1, stderr);
    assert.match(stderr, /rank 1 \(.*\): (TorchError: )?planted/);
  }
});
