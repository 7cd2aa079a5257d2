/** Rows of pairs: those of a scorer by its scores alone, those of people by what they say of each pair. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { scratch } from "../../test/support/scratch.ts";
import { exportLabels } from "../workbench/export-labels.ts";
import type { LabelStore } from "../workbench/label-store.ts";
import { saveVersion } from "../workbench/versions.ts";
import { makeWorkbench } from "../workbench/workbench-dir.ts";
import type { AnswerGroup } from "./answers.ts";
import { chosenPairs, putBeforePeople, rewardsByLabels, rowsByLabels, rowsByScores } from "./labelled.ts";

const root = mkdtempSync(join(scratch(), "preftune-labelled-"));
after(() => rmSync(root, { recursive: true, force: true }));

const settings = { pairs: "best_worst", reward_gap: 0 } as const;

function groupOf(index: number, content: string, answers: readonly string[]): AnswerGroup {
  const row = { where: "", kind: "chat" as const, prompt: [{ role: "user" as const, content }] };
  return {
    ...{ index, columns: {}, answers, promptIds: [], ids: answers.map(() => []) },
    row: { ...row, completions: [] },
  } as unknown as AnswerGroup;
}

const groups = [groupOf(0, "One?", ["ab", "abcd", "abc"]), groupOf(1, "Two?", ["xyz", "x"])];

/** The rows of a round in this workbench by a scorer called "score". */
function rowsOf(store: LabelStore, rewardOf: (answer: string) => number, given = groups) {
  const rewards = given.map(({ answers }) => answers.map(rewardOf));
  return rowsByScores(store, chosenPairs(given, rewards, settings, "m"), { scorer: "score", voice: "m" });
}

const textsOf = ({ rows }: { rows: Record<string, unknown>[] }) =>
  rows.map(({ chosen, rejected }) =>
    [chosen, rejected].map((answer) => (answer as { content: string }[])[0]?.content),
  );

test("a second round by scores that say the contrary has as many rows, and its scores stand as labels", () => {
  using store = makeWorkbench(mkdtempSync(join(root, "bench-")));
  const longer = rowsOf(store, (answer) => answer.length);
  assert.deepEqual(textsOf(longer), [
    ["abcd", "ab"],
    ["xyz", "x"],
  ]);
  // what an export makes of the same labels, in an order of its own
  const byItem = (rows: Record<string, unknown>[]) =>
    rows.toSorted((one, other) => JSON.stringify(one).localeCompare(JSON.stringify(other)));
  assert.deepEqual(byItem(longer.rows), byItem(exportLabels(store).rows));
  // a person who sees no difference says nothing of a round that rewards decide
  store.addPerson("ann", "person");
  for (const item of store.order)
    store.append({ kind: "vote", person: "ann", item, body: { verdict: "tie", strength: 1, ms: null } });
  const shorter = rowsOf(store, (answer) => -answer.length);
  assert.deepEqual(textsOf(shorter), [
    ["ab", "abcd"],
    ["x", "xyz"],
  ]);
  assert.deepEqual([shorter.prompts, shorter.contradicted], [2, 0]);
  assert.deepEqual(textsOf(rowsOf(store, (answer) => answer.length)), textsOf(longer));
  const labels = [...store.state().votes.values()].filter(({ person }) => person === "score (judge)");
  const said = longer.rows.map(({ meta }) => meta as { item: string; verdict: string });
  assert.deepEqual(
    new Map(labels.map(({ item, verdict }) => [item, verdict])),
    new Map(said.map(({ item, verdict }) => [item, verdict])),
  );
  assert.equal(labels.length, 2);
});

test("of a prompt that is there twice with contrary scores the first counts, the other is counted", () => {
  using store = makeWorkbench(mkdtempSync(join(root, "bench-")));
  const twice = [groupOf(0, "One?", ["ab", "abcd"]), groupOf(1, "One?", ["ab", "abcd"])];
  const scores = [1, 0, 0, 1];
  const made = rowsOf(store, () => scores.shift() ?? 0, twice);
  assert.deepEqual([textsOf(made), made.prompts, made.contradicted], [[["ab", "abcd"]], 1, 1]);
});

test("pairs of people whose own label says otherwise are no rows; without any left the error says what people can do", async () => {
  const dir = mkdtempSync(join(root, "bench-"));
  using store = makeWorkbench(dir);
  const one = groups.slice(0, 1);
  putBeforePeople(store, one, "m");
  store.addPerson("ann", "person");
  const win: Record<string, string> = { "ab abc": "ab", "abc abcd": "abc", "ab abcd": "abcd" };
  for (const item of store.order) {
    const { answers } = store.item(item).comparison;
    const texts = answers.map((answer) => (answer as { content: string }[])[0]?.content ?? "");
    const verdict = win[texts.toSorted().join(" ")] === texts[0] ? "a" : "b";
    store.append({ kind: "vote", person: "ann", item, body: { verdict, strength: 1, ms: null } });
  }
  const byPeople = rewardsByLabels(store, one, "m");
  // a circle: nobody is better than another
  assert.deepEqual(byPeople, [[0.5, 0.5, 0.5]]);
  const against = rowsByLabels(store, chosenPairs(one, [[1, 0, 0.5]], settings, "m"));
  assert.deepEqual([against.rows.length, against.prompts, against.contradicted], [0, 0, 1]);
  const about = { by: "round", sources: {}, rules: {}, counts: {} } as const;
  await assert.rejects(saveVersion(dir, against.rows, about), /got none: .*its own label says otherwise/);
});
