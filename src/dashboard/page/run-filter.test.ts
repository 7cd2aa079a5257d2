/** The list: what a filter names, in which order runs stand, and the folders of studies. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Summary } from "../run-summary.ts";
import { entriesOf, hasWords, placeOf, statesText } from "./run-filter.ts";

const run = (name: string, change: Partial<Summary> = {}): Summary =>
  ({
    ...{
      id: name,
      name,
      folder: name,
      state: "done",
      stateText: "finished",
      objective: "dpo",
      model: "m/SmolLM2",
    },
    ...{
      data: "0abc",
      tags: [],
      isArchived: false,
      isBaseline: false,
      study: null,
      startedAt: 0,
      changedAt: 1,
    },
    ...change,
  }) as unknown as Summary;

test("words are looked for everywhere or in one place, and left out with a dash", () => {
  const one = run("slime-a", { tags: ["good"], stateText: "failed" });
  for (const filter of ["", "SLIME", "smol fail", "tag:goo", "state:failed dpo", "-tag:bad", "0abc", "-"])
    assert.ok(filter === "-" || hasWords(one, filter), filter);
  for (const filter of ["tag:slime", "-good", "finished", "name:dpo", "nothing:here"])
    assert.ok(!hasWords(one, filter), filter);
});

const names = (filter = "", hasArchived = false, folders = new Map<string, boolean>()): string[] =>
  entriesOf(all, { filter, hasArchived, folders }).map((entry) =>
    "run" in entry
      ? `${entry.isInside ? "· " : ""}${entry.run.name}`
      : `${entry.study.folder} ${entry.runs.length}`,
  );

const study = { id: "s", folder: "sweep", hasReport: false };
const all = [
  run("old", { changedAt: 5 }),
  run("new", { changedAt: 9 }),
  run("live", { state: "running", stateText: "running", changedAt: 1 }),
  run("pinned", { isBaseline: true, changedAt: 0 }),
  run("away", { isArchived: true, changedAt: 8 }),
  run("in-1", { study, changedAt: 7 }),
  run("in-2", { study, changedAt: 2, stateText: "failed" }),
];

test("the baseline stands first, then what runs, then what changed last; a study is one line until it is opened", () => {
  assert.deepEqual(names(), ["pinned", "live", "new", "sweep 2", "old"]);
  assert.deepEqual(names("", true), ["pinned", "live", "new", "away", "sweep 2", "old"]);
  assert.deepEqual(names("", false, new Map([["s", true]])), [
    ...["pinned", "live", "new", "sweep 2", "· in-1", "· in-2", "old"],
  ]);
  assert.deepEqual(names("in-"), ["sweep 2", "· in-1", "· in-2"], "a filter looks into folders");
  assert.deepEqual(names("in-2", false, new Map([["s", false]])), ["sweep 1"]);
  assert.equal(statesText(all.slice(5)), "1 finished, 1 failed");
});

test("a line that is put away leaves its place to the next, not to the first", () => {
  const lines = ["live", "old", "older"].map((key) => ({ key }));
  assert.equal(placeOf("old", lines, 0), 1);
  assert.equal(placeOf("old", lines.toSpliced(1, 1), 1), 1);
  assert.equal(placeOf("older", lines.slice(0, 2), 2), 1);
  assert.equal(placeOf(null, lines, 0), 0);
  assert.equal(placeOf("old", [], 1), 0);
});
