import assert from "node:assert/strict";
import { test } from "node:test";
import { Random } from "../base/random.ts";
import { type Flaw, flawedAnswer } from "./flaws.ts";
import { type DataOptions, jsonLines, makeData, type PreferenceRow } from "./toy-data.ts";
import {
  hasRightForm,
  type IslandQuestion,
  questionKey,
  questionText,
  rightAnswer,
  type World,
} from "./world.ts";

const options: DataOptions = { seed: 5, sftRows: 600, trainPairs: 300, evalPairs: 100, flawedShare: 0.4 };
const data = makeData(options);
const promptOf = (row: { prompt: { content: string }[] }): string => row.prompt[0]?.content ?? "";
const chosenOf = (row: PreferenceRow): string => row.chosen[0]?.content ?? "";
const rejectedOf = (row: PreferenceRow): string => row.rejected[0]?.content ?? "";

test("a seed decides the data", () => {
  assert.deepEqual(makeData(options), data);
  const other = makeData({ ...options, seed: 6 });
  assert.notDeepEqual(other.world, data.world);
  assert.notDeepEqual(other.train.map(promptOf), data.train.map(promptOf));
});

test("splits have the sizes asked for and share no question", () => {
  assert.deepEqual([data.sft.length, data.train.length, data.evaluation.length], [600, 300, 100]);
  const prompts = [...data.sft, ...data.train, ...data.evaluation].map(promptOf);
  assert.equal(new Set(prompts).size, prompts.length);
  // nor one that has the same answer in another wording
  const rights = [...data.train, ...data.evaluation].map(
    (row) => `${promptOf(row).match(/small|large|sell/)} ${chosenOf(row)}`,
  );
  assert.equal(new Set(rights).size, rights.length);
});

test("answers of a pair differ, the chosen one is in the right form, and most of their words are the same", () => {
  const words = (text: string): string[] => text.match(/[a-z]+|\d+|\n|[.,]/gi) ?? [];
  let shared = 0;
  let all = 0;
  for (const row of [...data.train, ...data.evaluation]) {
    const chosen = chosenOf(row);
    const rejected = rejectedOf(row);
    assert.notEqual(chosen, rejected, row.flaw);
    assert.ok(hasRightForm(chosen, chosen));
    const known = new Set(words(chosen));
    all += words(rejected).length;
    shared += words(rejected).filter((word) => known.has(word)).length;
  }
  assert.ok(shared / all > 0.9, `${shared} of ${all} words`);
});

test("all flaws come, and about the share of SFT rows that was asked for is flawed", () => {
  assert.deepEqual([...new Set(data.train.map((row) => row.flaw))].sort(), [
    "no end",
    "no number",
    "one line",
    "repeated",
    "swapped",
    "wrong ware",
    "wrong way",
  ]);
  const flawless = makeData({ ...options, flawedShare: 0 }).sft.map((row) => row.completion[0]?.content);
  const flawed =
    data.sft.filter((row) => !flawless.includes(row.completion[0]?.content)).length / data.sft.length;
  assert.ok(Math.abs(flawed - 0.4) < 0.06, `${flawed}`);
});

const world: World = [
  { name: "Tiny", ware: "tin" },
  { name: "Mid", ware: "salt" },
  { name: "Big", ware: "oil" },
];
const large: IslandQuestion = { kind: "large first", islands: [1, 0, 2], wording: 0 };
const wares: IslandQuestion = { kind: "wares", islands: [2, 0], wording: 0 };

test("a question has one right answer, by size or as its islands were named", () => {
  assert.equal(questionText(world, large), "Order Mid, Tiny and Big from large to small.");
  assert.equal(rightAnswer(world, large), "1. Big\n2. Mid\n3. Tiny\nEnd of list.");
  assert.equal(
    rightAnswer(world, { ...large, kind: "small first" }),
    "1. Tiny\n2. Mid\n3. Big\nEnd of list.",
  );
  assert.equal(questionText(world, wares), "What do Big and Tiny sell?");
  assert.equal(rightAnswer(world, wares), "1. Big sells oil.\n2. Tiny sells tin.\nEnd of list.");
});

test("questions have one key if and only if they have one answer", () => {
  assert.equal(questionKey(large), questionKey({ ...large, islands: [0, 1, 2], wording: 1 }));
  assert.notEqual(questionKey(large), questionKey({ ...large, kind: "small first" }));
  assert.notEqual(questionKey(wares), questionKey({ ...wares, islands: [0, 2] }));
});

test("each flaw changes one thing", () => {
  const flawed = (question: IslandQuestion, flaw: Flaw): string =>
    flawedAnswer(world, question, flaw, new Random(3));
  assert.equal(flawed(large, "wrong way"), "1. Tiny\n2. Mid\n3. Big\nEnd of list.");
  assert.equal(flawed(large, "one line"), "Big, Mid, Tiny.");
  assert.equal(flawed(wares, "one line"), "Big sells oil, Tiny sells tin.");
  assert.equal(flawed(large, "no end"), "1. Big\n2. Mid\n3. Tiny");
  assert.equal(flawed(large, "repeated"), "1. Big\n2. Mid\n3. Tiny\n4. Tiny\nEnd of list.");
  assert.equal(flawed(wares, "swapped"), "1. Tiny sells tin.\n2. Big sells oil.\nEnd of list.");
  assert.match(
    flawed(large, "swapped"),
    /^1\. (Mid\n2\. Big\n3\. Tiny|Big\n2\. Tiny\n3\. Mid)\nEnd of list\.$/,
  );
  assert.match(
    flawed(wares, "no number"),
    /^(Big sells oil\.\n2\. |1\. Big sells oil\.\n)Tiny sells tin\.\nEnd of list\.$/,
  );
  const lies = flawed(wares, "wrong ware");
  assert.match(lies, /^1\. Big sells \w+\.\n2\. Tiny sells \w+\.\nEnd of list\.$/);
  assert.notEqual(lies, rightAnswer(world, wares));
});

test("the right form: as many numbered lines as expected, then the closing line", () => {
  const right = "1. Big\n2. Mid\nEnd of list.";
  assert.ok(hasRightForm("1. Mid\n2. anything at all\nEnd of list.", right));
  for (const wrong of [
    "1. Big\n2. Mid",
    "1. Big\nMid\nEnd of list.",
    "1. Big\n3. Mid\nEnd of list.",
    "1. Big\n2. \nEnd of list.",
    "1. Big\nEnd of list.",
    "1. Big\n2. Mid\n3. Mid\nEnd of list.",
    "1. Big\n2. Mid\nEnd of list.\n",
    "",
  ]) {
    assert.ok(!hasRightForm(wrong, right), JSON.stringify(wrong));
  }
});

test("rows are written one a line", () => {
  assert.equal(jsonLines([{ a: "x\ny" }, { a: 1 }]), '{"a":"x\\ny"}\n{"a":1}\n');
});
