/** Seeds of one configuration: which runs are folded, and what their band is made of. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Curve } from "./curves.ts";
import { bandOf, foldsOf, lineName, rangeOf } from "./seed-bands.ts";

const run = (name: string, setting: string, folder = name) => ({
  summary: { id: folder, name, setting, folder },
});

test("runs of one configuration are one line; those that are not known stay by themselves", () => {
  const runs = [run("dpo-s1", "a"), run("slime", "b"), run("dpo-s2", "a"), run("x", ""), run("y", "")];
  const said = (isFolded: boolean) =>
    foldsOf(runs, isFolded).map(({ name, runs: some }) => `${name}: ${some.length}`);
  assert.deepEqual(said(true), ["dpo, 2 seeds: 2", "slime: 1", "x: 1", "y: 1"]);
  assert.deepEqual(said(false), ["dpo-s1: 1", "slime: 1", "dpo-s2: 1", "x: 1", "y: 1"]);
  assert.equal(foldsOf([run("1", "a"), run("2", "a")], true)[0]?.name, "1, 2 seeds");
  assert.equal(foldsOf([run("less-1", "a"), run("less-2", "a")], true)[0]?.name, "less, 2 seeds");
});

test("runs and groups of one name are distinguished by their folders", () => {
  const namesOf = (runs: ReturnType<typeof run>[]) => foldsOf(runs, true).map(({ name }) => name);
  const seeds = ["dpo", "simpo"].flatMap((one) =>
    [1, 2].map((seed) => run(`seed-${seed}`, one, `${one}/seed-${seed}`)),
  );
  assert.deepEqual(namesOf(seeds), ["dpo, 2 seeds", "simpo, 2 seeds"]);
  assert.deepEqual(namesOf([...seeds.filter((_, i) => i % 2 === 0), run("seed-1", "", "seed-1")]), [
    ...["dpo/seed-1", "simpo/seed-1", "seed-1"],
  ]);
  // a group that nothing is like keeps the name that its runs were given
  assert.deepEqual(namesOf([run("dpo", "a", "x1/out"), run("dpo", "a", "x2/out")]), ["dpo, 2 seeds"]);
});

test("a line says of how many seeds of its group it is", () => {
  const fold = { name: "dpo, 3 seeds", runs: [1, 2, 3] };
  assert.equal(lineName(fold, 3), "dpo, 3 seeds");
  assert.equal(lineName(fold, 1), "dpo, 3 seeds (values of 1)");
});

test("a band is over the steps that all seeds have, whatever they took", () => {
  const curve = (step: number[], value: number[], seconds: number): Curve => ({
    ...{ step, value, epoch: step.map((one) => one / 10), tokens: step.map((one) => one * 5) },
    seconds: step.map((one) => one * seconds),
  });
  const {
    curve: middle,
    low,
    high,
  } = bandOf([curve([0, 10, 20], [1, 2, 3], 1), curve([0, 20, 30], [3, 7, 9], 3)], 0.5);
  assert.deepEqual(middle, {
    step: [0, 20],
    epoch: [0, 2],
    tokens: [0, 100],
    seconds: [0, 40],
    value: [2, 5],
  });
  assert.deepEqual(
    [low, high],
    [
      [1, 3],
      [3, 7],
    ],
  );
  const { curve: gone } = bandOf([curve([0], [Number.NaN], 1), curve([0], [1], 1)], 0);
  assert.ok(Number.isNaN(gone.value[0]), "a seed that went to NaN is not left out of the mean");
});

test("figures of a group: mean and range, none where one has none", () => {
  assert.deepEqual(rangeOf([1, 3]), { mean: 2, low: 1, high: 3 });
  assert.equal(rangeOf([1, null]), null);
  assert.ok(Number.isNaN(rangeOf([1, "NaN"])?.mean));
});
