/** Tests of halving.ts on objectives whose best candidates are known. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Random } from "../base/random.ts";
import { resourcesOf, successiveHalving } from "./halving.ts";

test("resources grow by the factor and end at the most", () => {
  const plan = { factor: 3, least: 10, most: 100, isWhole: true };
  assert.deepEqual(resourcesOf(plan), [10, 30, 90, 100]);
  assert.deepEqual(resourcesOf({ ...plan, most: 90 }), [10, 30, 90]);
  assert.deepEqual(resourcesOf({ ...plan, factor: 2, least: 0.25, most: 1, isWhole: false }), [0.25, 0.5, 1]);
});

test("no round is run twice, where resources are rounded or come out an ulp from each other", () => {
  const whole = { isWhole: true };
  assert.deepEqual(resourcesOf({ ...whole, least: 10, factor: 2.5, most: 63 }), [10, 25, 63]);
  assert.deepEqual(resourcesOf({ ...whole, least: 1, factor: 1.5, most: 10 }), [1, 2, 3, 5, 8, 10]);
  assert.deepEqual(resourcesOf({ isWhole: false, least: 0.3, factor: 3, most: 2.7 }), [0.3, 0.9, 2.7]);
});

test("the best third goes on each time, and the best of all wins", async () => {
  const candidates = Array.from({ length: 27 }, (_, i) => (i * 10) % 27);
  const asked: number[][] = [];
  const rounds = await successiveHalving(
    candidates,
    { factor: 3, least: 1, most: 9, isWhole: true },
    async (left) => {
      asked.push([...left]);
      return left.map((x) => -((x - 13) ** 2));
    },
  );
  assert.deepEqual(
    asked.map((left) => left.length),
    [27, 9, 3],
  );
  assert.deepEqual(
    asked[1]?.toSorted((a, b) => a - b),
    [9, 10, 11, 12, 13, 14, 15, 16, 17],
  );
  assert.deepEqual(
    asked[2]?.toSorted((a, b) => a - b),
    [12, 13, 14],
  );
  assert.equal(rounds.at(-1)?.ranked[0]?.candidate, 13);
  assert.deepEqual(
    rounds.map(({ resource }) => resource),
    [1, 3, 9],
  );
});

test("noise that shrinks with the resource: the best is kept nearly always", async () => {
  let won = 0;
  for (let seed = 0; seed < 50; seed++) {
    const random = new Random(seed);
    const candidates = Array.from({ length: 16 }, (_, i) => i / 16);
    const rounds = await successiveHalving(
      candidates,
      { factor: 2, least: 1, most: 8, isWhole: true },
      async (left, resource) => left.map((x) => x + (random.next() - 0.5) / resource),
    );
    if ((rounds.at(-1)?.ranked[0]?.candidate ?? 0) >= 14 / 16) won += 1;
  }
  assert.ok(won >= 45, `one of the two best won in ${won} of 50`);
});

test("candidates whose runs failed come last, and do not end the search", async () => {
  const rounds = await successiveHalving(
    [1, 2, 3, 4],
    { factor: 2, least: 1, most: 2, isWhole: true },
    async (left) => left.map((x) => (x === 4 ? Number.NaN : x)),
  );
  assert.deepEqual(
    rounds[1]?.ranked.map(({ candidate }) => candidate),
    [3, 2],
  );
});

test("candidates whose runs failed are not run again for longer, and where all failed nothing is", async () => {
  const asked: (readonly [resource: number, candidates: readonly number[]])[] = [];
  const plan = { factor: 3, least: 1, most: 9, isWhole: true };
  const candidates = Array.from({ length: 27 }, (_, i) => i);
  const run = (figure: (x: number) => number) =>
    successiveHalving(candidates, plan, async (left, resource) => {
      asked.push([resource, left]);
      return left.map(figure);
    });
  const rounds = await run(() => Number.NaN);
  assert.deepEqual([asked.length, rounds.length], [1, 1]);
  asked.length = 0;
  await run((x) => (x < 2 ? x : Number.NaN));
  assert.deepEqual(asked.slice(1), [
    [3, [1, 0]],
    [9, [1]],
  ]);
});

test("a single candidate needs one round", async () => {
  const rounds = await successiveHalving([1], { factor: 2, least: 1, most: 8, isWhole: true }, async () => [
    1,
  ]);
  assert.equal(rounds.length, 1);
});
